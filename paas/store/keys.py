"""SSH public keys: who may come in. authorized_keys is written from here after every change."""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
import sqlite3
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from paas.errors import PaasError
from paas.model.names import SshKeyName
from paas.settings import Settings
from paas.store.database import Database, Row

# ssh-dss and 1024-bit RSA are not among them on purpose.
KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)
MAX_KEY_BYTES = 16384
MIN_RSA_BITS = 2048


class NoKeyGiven(PaasError):
    """No key specified via file or pipe"""


class EmptyKey(PaasError):
    """Empty key was specified"""


class TooManyKeys(PaasError):
    """Too many keys provided, set one per invocation of ssh-keys:add <NAME> <KEY_FILE>"""


class InvalidKey(PaasError):
    """Key specified in is not a valid ssh public key ({reason})"""


class DuplicateKeyName(PaasError):
    """There is a key named {name} already. Remove it first with ssh-keys:remove {name}, or choose another name"""


class DuplicateKey(PaasError):
    """This key is known already, as {name}"""


@dataclass(frozen=True)
class Key:
    """A public key; `public_key` is ``type base64`` without options or comment."""

    id: int
    name: str
    fingerprint: str
    public_key: str
    admin: bool


class Keys:
    """The keys that may come in."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def all(self) -> list[Key]:
        return [_key(row) for row in self.database.rows("SELECT * FROM ssh_keys ORDER BY id")]

    def by_name(self, name: str) -> Key | None:
        return self._one("name", name)

    def by_fingerprint(self, fingerprint: str) -> Key | None:
        return self._one("fingerprint", fingerprint)

    def by_id(self, key_id: int) -> Key | None:
        return self._one("id", key_id)

    def add(self, name: SshKeyName, text: str, admin: bool = True) -> Key:
        """Store a key given as a line of an authorized_keys or .pub file. `admin` False: it has no role anywhere yet.

        Raises the errors above.
        """
        public_key = canonical(text)
        mark = fingerprint(public_key)
        known = self.by_fingerprint(mark)
        if known:
            raise DuplicateKey(name=known.name)
        try:
            self.database.execute(
                "INSERT INTO ssh_keys (name, fingerprint, public_key, created_at, admin) VALUES (?, ?, ?, ?, ?)",
                (name, mark, public_key, int(time.time()), int(admin)),
            )
        except sqlite3.IntegrityError:
            raise DuplicateKeyName(name=name) from None
        self.write_authorized_keys()
        key = self.by_name(name)
        assert key is not None  # noqa: S101 - inserted above
        return key

    def remove(self, key: Key) -> None:
        self.database.execute("DELETE FROM ssh_keys WHERE id = ?", (key.id,))
        self.write_authorized_keys()

    def write_authorized_keys(self) -> None:
        """Replace the file that sshd reads, atomically."""
        settings = self.database.settings
        folder = settings.root / ".ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        draft = folder / f".authorized_keys.{os.getpid()}"
        descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.writelines(authorized_line(settings, key) for key in self.all())
        draft.replace(folder / "authorized_keys")

    def _one(self, column: str, value: object) -> Key | None:
        row = self.database.row(f"SELECT * FROM ssh_keys WHERE {column} = ?", (value,))  # noqa: S608 - ours
        return _key(row) if row else None


def canonical(text: str) -> str:
    """``type base64``: options, comment and control characters never reach authorized_keys.

    Raises EmptyKey, TooManyKeys or InvalidKey.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise EmptyKey()
    if "PRIVATE KEY" in lines[0]:
        raise InvalidKey(reason="this is a private key; give the .pub file")
    if len(lines) > 1:
        raise TooManyKeys()
    words = lines[0].split()
    if len(words) < 2 or words[0] not in KEY_TYPES:
        raise InvalidKey(reason=f"it has to start with one of {', '.join(KEY_TYPES)}")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except ValueError:
        raise InvalidKey(reason="its second word is not base64") from None
    fields = _fields(blob[: MAX_KEY_BYTES + 1])
    if len(fields) < 2 or fields[0] != words[0].encode() or len(blob) > MAX_KEY_BYTES:
        raise InvalidKey(reason="type and data do not belong together")
    if words[0] == "ssh-rsa" and int.from_bytes(fields[-1], "big").bit_length() < MIN_RSA_BITS:
        raise InvalidKey(reason=f"RSA keys need {MIN_RSA_BITS} bits at least")
    return f"{words[0]} {base64.b64encode(blob).decode()}"


def _fields(blob: bytes) -> list[bytes]:
    """The parts of a key's data, each behind its length: the type first, of RSA keys the modulus last."""
    fields = []
    while blob:
        end = 4 + int.from_bytes(blob[:4], "big")
        fields.append(blob[4:end])
        blob = blob[end:]
    return fields


def fingerprint(public_key: str) -> str:
    """``SHA256:…``, as ssh-keygen -l prints it."""
    blob = base64.b64decode(public_key.split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def authorized_line(settings: Settings, key: Key) -> str:
    """One line for sshd: only a numeric id of ours goes through its shell."""
    stub = Path(__file__).parent.parent / "gateway" / "stub.py"
    command = f"PAAS_ROOT={shlex.quote(str(settings.root))} PAAS_PYTHON={shlex.quote(sys.executable)} "
    command += f"{shlex.quote(str(stub))} --ssh {key.id}"
    return f'command="{command}",restrict,pty {key.public_key} {key.name}\n'


def _key(row: Row) -> Key:
    return Key(row["id"], row["name"], row["fingerprint"], row["public_key"], bool(row["admin"]))
