"""git against other people's servers: our own options, only protocols that run nothing here, credentials by a pipe
of sorts (an unnamed file in memory), never in an argument, the environment or a log."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from paas.deploy.session import Session
from paas.errors import Cancelled, PaasError
from paas.model.git_url import RemoteUrl, is_loopback, parse_host
from paas.model.names import printable
from paas.store.git_auth import GitAuth
from paas.store.git_program import ENVIRONMENT, HARMLESS, bounded, git_words
from paas.store.repositories import HOOKS_DIR

ALLOWED_PROTOCOLS = "https:http:ssh:git"
# A server that sends less than SLOW_BYTES a second for SLOW_SECONDS has stopped.
SLOW_BYTES = 100
SLOW_SECONDS = 60
READ_BYTES = 65536
# Where what is fetched is kept until it is used; no push or deploy looks there.
OURS = "refs/paas-sync"
KEPT_LINES = 20

OPTIONS = (
    ("fetch.fsckObjects", "true"),
    *((f"fetch.fsck.{fault}", "ignore") for fault in HARMLESS),
    ("fetch.writeCommitGraph", "false"),
    ("http.lowSpeedLimit", str(SLOW_BYTES)),
    ("http.lowSpeedTime", str(SLOW_SECONDS)),
    ("safe.directory", "*"),
)
PASSED_ON = ("PATH", "http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class RemoteFailed(PaasError):
    """{remote} could not be read: {reason}. Nothing was deployed. {hint}"""


HINTS = (
    (r"could not read (Username|Password)|terminal prompts disabled|Authentication failed|[Aa]uthorization",
     "If it is a private repository, store a name and password for its host first: git:auth {site} USER"),
    (r"Host key verification failed|host key is known",
     "Trust the host's keys first: git:allow-host {site}"),
    (r"object [0-9a-f]{40}: ",
     "git refuses what such an object could do on this machine: mend the commits that have it"),
    (r"Permission denied",
     "Let the remote's owner add the key that git:public-key shows (git:generate-deploy-key makes it)"),
)  # fmt: skip
# What git says to each of these, after the real reason.
_GENERAL = re.compile(
    r"(fatal: )?Could not read from remote repository|Please make sure you have|and the repository exists"
    r"|error: unable to read askpass response"
)
DEFAULT_HINT = "Check the URL and that its server can be reached from here, then try again"


def remote_git(
    session: Session, folder: Path, words: Sequence[str], remote: RemoteUrl, show: bool = True
) -> bytes:
    """Run a git command that talks to `remote` in the bare repository `folder`; its standard output.

    `show` prints what git says meanwhile. Raises RemoteFailed.
    """
    # With this process gone (kill -9) nobody wants the answer any more: the kernel ends git.
    command = ["setpriv", "--pdeathsig", "KILL", *bounded([*git_words(OPTIONS), "--git-dir=.", *words])]
    with credentials(session, remote) as (environment, descriptor), tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            pass_fds=[descriptor],
            start_new_session=True,
        )
        try:
            said = _follow(session, process.stderr, show) if process.stderr else []
            code = process.wait()
        except (Cancelled, PaasError):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            session.console.end_live()
            if process.stderr:
                process.stderr.close()
        if code:
            raise failure(remote, said, code)
        output.seek(0)
        return output.read()


@contextlib.contextmanager
def credentials(session: Session, remote: RemoteUrl) -> Iterator[tuple[dict[str, str], int]]:
    """An environment in which git knows our accounts, and the descriptor that has to be passed on with it."""
    descriptor = os.memfd_create("git-credentials")
    try:
        os.write(descriptor, _credential_lines(session, remote))
        root = str(session.settings.root)
        yield {name: os.environ[name] for name in PASSED_ON if name in os.environ} | ENVIRONMENT | {
            "HOME": root,
            "GIT_ALLOW_PROTOCOL": ALLOWED_PROTOCOLS,
            "GIT_ASKPASS": str(HOOKS_DIR / "git-askpass"),
            "GIT_PROTOCOL_FROM_USER": "0",
            "GIT_SSH": str(HOOKS_DIR / "git-ssh"),
            "GIT_SSH_VARIANT": "ssh",
            "PAAS_CREDENTIALS": f"/proc/self/fd/{descriptor}",
            "PAAS_ROOT": root,
            **_certificates(),
        }, descriptor
    finally:
        os.close(descriptor)


def _certificates() -> dict[str, str]:
    """OpenSSL's variable for a company's own certificates, as git's library wants it."""
    own = os.environ.get("SSL_CERT_FILE")
    return {"SSL_CERT_FILE": own, "GIT_SSL_CAINFO": own} if own else {}


def _credential_lines(session: Session, remote: RemoteUrl) -> bytes:
    lines: list[str] = []
    if remote.user and remote.scheme in ("http", "https"):
        lines += [f"{remote.scheme}://{remote.site}", remote.user, remote.password]
    for account in GitAuth(session.properties).all():
        # Unencrypted only where nobody can listen.
        schemes = ("https", "http") if is_loopback(parse_host(account.host)[0]) else ("https",)
        for scheme in schemes:
            lines += [f"{scheme}://{account.host}", account.user, account.password]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def _follow(session: Session, stream: IO[bytes], show: bool) -> list[str]:
    """Print git's lines as they come, of redrawn ones the last state; the last lines of them all."""
    progress = session.console.progress("git")
    kept: list[str] = []
    rest = b""
    while data := os.read(stream.fileno(), READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            text = _clean(line.rstrip(b"\r").rpartition(b"\r")[2])
            if text and not text.startswith("From ") and f"-> {OURS}" not in text:
                kept = [*kept[-KEPT_LINES:], text]
                if show and not text.startswith(("fatal: ", "error: ")):
                    session.console.detail(text)
        if show and b"\r" in rest:
            progress.update(_clean(rest.rstrip(b"\r").rpartition(b"\r")[2]))
            rest = rest[-READ_BYTES:]
    return [*kept, last] if (last := _clean(rest)) else kept


def _clean(line: bytes) -> str:
    return _ESCAPES.sub("", line.decode("utf-8", "replace")).rstrip()


def failure(remote: RemoteUrl, said: list[str], code: int) -> RemoteFailed:
    """What git's last words mean, and what helps."""
    everything = "\n".join(said)
    said = [line for line in said if not _GENERAL.match(line)]
    fatal = [line for line in said if line.startswith(("fatal: ", "error: ", "ERROR: "))]
    reason = (fatal[:1] or said or [f"git ended with code {code}"])[-1]
    hint = next((text for pattern, text in HINTS if re.search(pattern, everything)), DEFAULT_HINT)
    # git names the URL as it got it, with a query that may hold a token.
    reason = re.sub(r"(://[^\s'?]*)\?[^\s']*", r"\1?...", re.sub(r"^(fatal|error): ", "", reason))
    text = printable(reason, 300).rstrip(".")
    return RemoteFailed(remote=remote.shown, reason=text, hint=hint.format(site=remote.site))
