"""Encryption at rest: one key per installation, beside the database, readable by its owner only."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
from functools import lru_cache
from pathlib import Path

from paas.errors import PaasError

KEY_FILE = "secret.key"


class SecretKeyWrong(PaasError):
    """{path} does not fit the database: a stored value can't be decrypted. Nothing was changed. Put the key file of this database back"""


class Secrets:
    """Encrypts and decrypts with the installation's key (Fernet: AES-128-CBC and HMAC-SHA256)."""

    def __init__(self, path: Path) -> None:
        from cryptography.fernet import Fernet

        self.path = path
        try:
            self._key = _read_or_create(path)
            self._fernet = Fernet(self._key)
        except ValueError:
            raise SecretKeyWrong(path=path) from None

    @staticmethod
    def of(root: Path) -> Secrets:
        """Those of an installation; backup:restore may put another key in the place of the one that was read."""
        path = root / KEY_FILE
        try:
            found = path.stat()
        except OSError:
            return Secrets(path)
        return _read_once(path, found.st_ino, found.st_mtime_ns)

    def encrypt(self, text: str) -> bytes:
        return self._fernet.encrypt(text.encode("utf-8", "surrogateescape"))

    def decrypt(self, data: bytes) -> str:
        """Raises SecretKeyWrong where the data was written with another key."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(data).decode("utf-8", "surrogateescape")
        except InvalidToken:
            raise SecretKeyWrong(path=self.path) from None

    def digest(self, text: str) -> str:
        """Always the same for the same text, and nothing to whoever has not got the key."""
        return hmac.new(self._key, text.encode("utf-8", "surrogateescape"), "sha256").hexdigest()

    def encrypt_mapping(self, values: dict[str, str]) -> bytes:
        return self.encrypt(json.dumps(values))

    def decrypt_mapping(self, data: bytes) -> dict[str, str]:
        values: dict[str, str] = json.loads(self.decrypt(data))
        return values


@lru_cache(maxsize=4)
def _read_once(path: Path, _inode: int, _changed: int) -> Secrets:
    return Secrets(path)


def _read_or_create(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    from cryptography.fernet import Fernet

    # Written aside and linked: a key file that exists is always whole, and the first one wins.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, Fernet.generate_key())
        os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.close(descriptor)
        draft.unlink()
    return path.read_bytes()
