"""git's server side: one bare repository, our own options, nothing of the client's in the arguments."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import paas
from paas import interrupts
from paas.errors import Cancelled
from paas.gateway import handover
from paas.model.caller import Caller
from paas.settings import Settings
from paas.steps import Told, heard, step
from paas.store.git_program import ENVIRONMENT, HARMLESS, bounded, git_words
from paas.store.incoming import receiving

Service = Literal["git-receive-pack", "git-upload-pack"]

HOOK_SECONDS = 30.0  # for a hook whose client has gone, to undo or to finish
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOOKS = Path(paas.__file__).parent.parent / "hooks"
# What a hook's command needs to find the same installation when it has to run without a server.
PASSED_ON = (
    "DOCKER_HOST",
    "PAAS_DOMAIN",
    "PAAS_HTTP_LISTEN",
    "PAAS_HTTPS_LISTEN",
    "PAAS_MAX_BUILDS",
    "PAAS_SSH_LISTEN",
    "PAAS_ROUTER",
)

OPTIONS = (
    ("core.hooksPath", str(HOOKS)),
    ("receive.advertisePushOptions", "true"),
    ("receive.autogc", "false"),
    # The hook decides about deletions; its message says more than git's.
    ("receive.denyDeleteCurrent", "ignore"),
    ("receive.fsckObjects", "true"),
    *((f"receive.fsck.{fault}", "ignore") for fault in HARMLESS),
    ("safe.directory", "*"),
    # Branches and tags are all that is seen and pushed; the last one that fits counts.
    ("transfer.hideRefs", "refs"),
    ("transfer.hideRefs", "!refs/heads"),
    ("transfer.hideRefs", "!refs/tags"),
)


def arguments(service: Service, max_bytes: int) -> list[str]:
    """The command line; the repository is the directory in which it runs. `max_bytes`: how long a push may be."""
    options = (*OPTIONS, ("receive.maxInputSize", str(max_bytes)))
    return bounded([*git_words(options), service.removeprefix("git-"), "."])


def environment(settings: Settings, caller: Caller) -> dict[str, str]:
    """All that git and its hooks see."""
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    env |= ENVIRONMENT | {
        "PATH": os.environ.get("PATH", DEFAULT_PATH),
        "HOME": str(settings.root),
        "PAAS_ROOT": str(settings.root),
        "PAAS_DOOR": "hook",
        "PAAS_CALLER": caller.name,
        "PAAS_STUB": handover.PROGRAM,
        "PAAS_PYTHON": sys.executable,
    }
    if caller.key_id is not None:
        env["PAAS_KEY_ID"] = str(caller.key_id)
    if "GIT_PROTOCOL" in caller.environment:
        env["GIT_PROTOCOL"] = caller.environment["GIT_PROTOCOL"]
    return env


def run_git_service(
    settings: Settings, service: Service, repository: Path, caller: Caller, max_bytes: int
) -> tuple[int, list[Told]]:
    """Serve one push (of `max_bytes` at the most) or fetch of `repository` on our own standard descriptors; git's exit
    code, and what its hooks told of their steps.

    Raises Cancelled when the client goes away, once git and its hooks are done.
    """
    with step("push"), receiving(repository) as lock, lifeline() as (descriptor, line):
        process = subprocess.Popen(
            arguments(service, max_bytes),
            cwd=repository,
            env=environment(settings, caller) | {"PAAS_DESCRIPTORS": str(descriptor)},
            pass_fds=[descriptor, lock],
            start_new_session=True,
        )
        try:
            code = process.wait()
        except Cancelled:
            cut(line)
            with interrupts.shielded():
                _end(process)
            raise
        told = heard(line)
    return (code if code >= 0 else 128 - code), told


@contextlib.contextmanager
def lifeline() -> Iterator[tuple[int, socket.socket]]:
    """A descriptor for a hook's command to watch, and our end of it: the command reads that as closed once we `cut` it, or
    are killed. It undoes what it did, or, after its switch, finishes, so that git moves the branch. On it the command
    tells its steps."""
    theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, ours:
        yield theirs.fileno(), ours


def cut(line: socket.socket) -> None:
    """Let the other end read it as closed; what it tells is still heard."""
    line.shutdown(socket.SHUT_WR)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let a hook come to its end; then nothing of the push is left."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(HOOK_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
