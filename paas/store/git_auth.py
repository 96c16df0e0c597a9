"""What remotes of git are told about us: names and passwords per host, the deploy key, the hosts whose keys are known."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from paas.errors import PaasError
from paas.model.git_url import parse_host
from paas.model.names import printable
from paas.settings import Settings
from paas.store.locks import held
from paas.store.properties import GLOBAL, Properties

NAMESPACE = "git-auth"
SCAN_SECONDS = 10
HOST_KEY_TYPES = "ed25519,ecdsa,rsa"
_SCANNED = re.compile(r"(\S+) (ssh-[a-z0-9-]+|ecdsa-[a-z0-9-]+) ([A-Za-z0-9+/=]+)")


class InvalidCredentials(PaasError):
    """The {what} has a line break or another control character. Nothing was changed. Give it as one line"""


class HostSilent(PaasError):
    """{host} shows no ssh host key: {reason}. Nothing was changed. Check the name and that its ssh server can be reached from here"""


class KeyNotMade(PaasError):
    """ssh-keygen made no key: {reason}. Nothing was changed"""


@dataclass(frozen=True)
class Account:
    """A name and password for one host (``host`` or ``host:port``). `repr` doesn't tell the password."""

    host: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Account({self.host!r}, {self.user!r}, '********')"


class GitAuth:
    """The accounts that git:auth stores, encrypted."""

    def __init__(self, properties: Properties) -> None:
        self.properties = properties

    def find(self, host: str) -> Account | None:
        stored = self.properties.secret(GLOBAL, NAMESPACE, _key(host))
        return Account(_key(host), *json.loads(stored)) if stored else None

    def set(self, host: str, user: str, password: str) -> None:
        """Raises InvalidHost or InvalidCredentials."""
        for what, text in (("name", user), ("password", password)):
            if not text.isprintable():
                raise InvalidCredentials(what=what)
        self.properties.set_secret(GLOBAL, NAMESPACE, _key(host), json.dumps([user, password]))

    def remove(self, host: str) -> None:
        self.properties.set(GLOBAL, NAMESPACE, _key(host), "")

    def all(self) -> list[Account]:
        """Those with a port first: they are the more exact ones."""
        hosts = sorted(self.properties.all(GLOBAL, NAMESPACE), key=lambda host: (parse_host(host)[1] is None, host))
        return [account for host in hosts if (account := self.find(host)) is not None]


def _key(host: str) -> str:
    name, port = parse_host(host)
    return f"{name}:{port}" if port else name


class DeployKey:
    """The ssh key with which this installation reads private repositories, and the hosts that it trusts."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.root / ".ssh"
        self.private = self.folder / "id_ed25519"
        self.public = self.folder / "id_ed25519.pub"
        self.known_hosts = self.folder / "known_hosts"
        self._lock = settings.locks_dir / "git-auth"

    def read(self) -> str | None:
        """The public key's line, None where there is no key."""
        for path in (self.public, self.folder / "id_rsa.pub"):
            if path.exists():
                return path.read_text().strip()
        return None

    def generate(self) -> bool:
        """Make one unless there is one; whether it was made. Raises KeyNotMade."""
        with held(self._lock):
            if self.read() is not None or self.private.exists():
                return False
            self.folder.mkdir(mode=0o700, exist_ok=True)
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"paas@{socket.gethostname()}"]
            made = subprocess.run(
                [*words, "-f", str(self.private)], stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
            if made.returncode:
                raise KeyNotMade(reason=_said(made))
        return True

    def allow(self, host: str) -> list[tuple[str, str]]:
        """Trust the ssh keys that a host shows now, in place of those it had before.

        Returns (type, SHA256 fingerprint) of each. Raises InvalidHost or HostSilent.
        """
        name, port = parse_host(host)
        words = ["ssh-keyscan", "-T", str(SCAN_SECONDS), "-t", HOST_KEY_TYPES]
        words += ["-p", str(port)] if port else []
        scan = subprocess.run(
            [*words, "--", name.strip("[]")], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        found = [match for line in scan.stdout.decode("ascii", "replace").splitlines() if (match := _SCANNED.fullmatch(line))]
        if not found:
            raise HostSilent(host=printable(host), reason=_said(scan))
        with held(self._lock):
            self.folder.mkdir(mode=0o700, exist_ok=True)
            names = {match[1] for match in found}
            old = self.known_hosts.read_text().splitlines() if self.known_hosts.exists() else []
            lines = [line for line in old if line.partition(" ")[0] not in names]
            lines += sorted(match[0] for match in found)
            _write_private(self.known_hosts, "".join(f"{line}\n" for line in lines))
        return sorted((match[2], _fingerprint(match[3])) for match in found)


def _fingerprint(key: str) -> str:
    digest = hashlib.sha256(base64.b64decode(key)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _write_private(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip() and line[0] != "#"]
    return printable(lines[-1]) if lines else "no answer"
