"""The two ways into paas over ssh: its own server, and the machine's OpenSSH with a forced command."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.clients import until_it_listens
from support.repo import GIT_ENV
from support.server import Paas, Result, free_port, run

NAMES = ("embedded", "openssh")
HOST = "host"


@dataclass(frozen=True)
class Door:
    """One way in, as `ssh host`: `ssh_config` says where that is."""

    name: str
    paas: Paas
    ssh_config: Path

    def ssh_command(self, *words: str, tty: bool = False) -> list[str]:
        """The argument list of `ssh host WORDS`; with `tty`, the other side gets a terminal."""
        return ["ssh", "-F", str(self.ssh_config), *(["-tt"] if tty else []), HOST, *words]

    def ssh(
        self, *words: str, input: bytes | str | None = None, tty: bool = False, timeout: float = 120
    ) -> Result:
        """Run `ssh host WORDS`. As with any ssh, words are joined and split again over there."""
        return run(self.ssh_command(*words, tty=tty), env=self.paas.env, input=input, timeout=timeout)

    def git_env(self) -> dict[str, str]:
        """The environment in which git reaches this door."""
        return {**self.paas.env, **GIT_ENV, "GIT_SSH_COMMAND": f"ssh -F {self.ssh_config}"}

    def add_key(self, name: str) -> str:
        """Make a key pair, so that `ssh NAME` and the remote NAME:APP come with it, and return its public half.

        Nobody is let in with it before ssh-keys:add.
        """
        key = self.ssh_config.with_name(f"{self.name}.{name}")
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)]).ok()
        own = self.ssh_config.read_text().partition("\nHost ")[0].replace(f"Host {HOST}\n", f"\nHost {name}\n")
        with self.ssh_config.open("a") as file:
            file.write(own.replace(f"IdentityFile {self.paas.key}\n", f"IdentityFile {key}\n"))
        return key.with_name(f"{key.name}.pub").read_text()

    def remote(self, app: str) -> str:
        """The git remote of an app."""
        return f"{HOST}:{app}"


def embedded(paas: Paas) -> Door:
    """The server that is part of `paas serve`."""
    return Door("embedded", paas, _ssh_config(paas, "embedded", paas.ssh_port, user="paas"))


@contextlib.contextmanager
def openssh(paas: Paas) -> Iterator[Door]:
    """A private sshd that takes the keys that paas wrote; its log is beside its configuration."""
    directory = Path(tempfile.mkdtemp(prefix="sshd-", dir=paas.root.parent))
    port = free_port()
    host_key = directory / "host_key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host_key)]).ok()
    config = directory / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\n"
        f"HostKey {host_key}\n"
        f"PidFile none\n"
        f"AuthorizedKeysFile {paas.root}/.ssh/authorized_keys\n"
        # The directories above the file are a test's, not a home directory.
        "StrictModes no\n"
        "UsePAM no\n"
        "PasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\n"
        "PermitRootLogin forced-commands-only\n"
        "MaxStartups 100\n"
        # bash reads the ~/.bashrc of this machine's root for each command otherwise.
        "SetEnv SHLVL=2\n"
    )
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    log = directory / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stderr=output)
    try:
        until_it_listens(server, port, log)
        yield Door("openssh", paas, _ssh_config(paas, "openssh", port, user="root"))
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _ssh_config(paas: Paas, name: str, port: int, user: str) -> Path:
    path = paas.root.parent / f"{name}.ssh_config"
    path.write_text(
        f"Host {HOST}\n"
        f"    HostName 127.0.0.1\n    Port {port}\n    User {user}\n"
        f"    IdentityFile {paas.key}\n    IdentitiesOnly yes\n    IdentityAgent none\n"
        f"    UserKnownHostsFile {path}.known_hosts\n    StrictHostKeyChecking accept-new\n"
        "    BatchMode yes\n    LogLevel ERROR\n"
    )
    return path
