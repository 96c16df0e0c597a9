"""The age format (age-encryption.org/v1), written and read as a stream: `age --decrypt` reads what is written here.

A passphrase (scrypt) or the keys of recipients (X25519) protect a random file key; with it the content is encrypted in
chunks of 64 KiB (ChaCha20-Poly1305), each with its number and the last one marked: what is missing, swapped or changed
is noticed. Memory does not grow with the content.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from paas.errors import PaasError
from paas.store.bech32 import NotBech32, decode

MAGIC = b"age-encryption.org/v1"
CHUNK_BYTES = 64 * 1024
TAG_BYTES = 16
FILE_KEY_BYTES = 16
NONCE_BYTES = 16
MAX_HEADER_LINE = 4096
MAX_STANZAS = 100
BODY_COLUMNS = 64
# 64 MB of memory and a quarter of a second; what age itself wrote may need up to 16 times as much.
WORK_FACTOR = 16
MAX_WORK_FACTOR = 20
SCRYPT, X25519 = "scrypt", "X25519"


class NotSealed(PaasError):
    """This is no backup of paas. Nothing was changed. Send what backup:create wrote, from its first byte"""


class WrongKey(PaasError):
    """The passphrase or key does not open this backup. Nothing was changed. Try again with the one that it was made with"""


class Damaged(PaasError):
    """The backup is damaged or not whole: {reason}. Nothing was changed. Send all of it again, or take another one"""


class BadRecipient(PaasError):
    """{given} is no public key of age. Nothing was done. It begins with age1; age-keygen makes one"""


class BadIdentity(PaasError):
    """The key file holds no key of age. Nothing was done. It has a line that begins with AGE-SECRET-KEY-1"""


@dataclass(frozen=True)
class Stanza:
    """One way to the file key: the words of its first line, and the wrapped key."""

    words: tuple[str, ...]
    body: bytes

    def lines(self) -> bytes:
        text = _b64(self.body)
        rows = [text[at : at + BODY_COLUMNS] for at in range(0, len(text) + 1, BODY_COLUMNS)]
        return "".join(f"{row}\n" for row in ["-> " + " ".join(self.words), *rows]).encode()


class Lock(Protocol):
    """What a file key is wrapped for, or got back with: `unwrap` is None where the stanza is not for this one."""

    def wrap(self, file_key: bytes) -> Stanza: ...

    def unwrap(self, stanza: Stanza) -> bytes | None: ...


@dataclass(frozen=True)
class Passphrase:
    """A passphrase, for writing and for reading."""

    text: str
    work_factor: int = WORK_FACTOR

    def __repr__(self) -> str:
        return "Passphrase(...)"

    def wrap(self, file_key: bytes) -> Stanza:
        salt = os.urandom(16)
        words = (SCRYPT, _b64(salt), str(self.work_factor))
        return Stanza(words, _seal(self._key(salt, self.work_factor), file_key))

    def unwrap(self, stanza: Stanza) -> bytes | None:
        if stanza.words[0] != SCRYPT or len(stanza.words) != 3 or not stanza.words[2].isdecimal():
            return None
        work = int(stanza.words[2][:3])
        if not 0 < work <= MAX_WORK_FACTOR:
            return None
        return _unseal(self._key(_unb64(stanza.words[1]), work), stanza.body)

    def _key(self, salt: bytes, work: int) -> bytes:
        derived = Scrypt(salt=MAGIC + b"/scrypt" + salt, length=32, n=1 << work, r=8, p=1)
        return derived.derive(self.text.encode("utf-8", "surrogateescape"))


@dataclass(frozen=True)
class Recipient:
    """Somebody's public key, ``age1…``: for writing only."""

    public: bytes

    @classmethod
    def parse(cls, text: str) -> Recipient:
        """Raises BadRecipient."""
        try:
            return cls(decode("age", text))
        except NotBech32:
            raise BadRecipient(given=text[:80] if text.isprintable() else "That") from None

    def wrap(self, file_key: bytes) -> Stanza:
        own = X25519PrivateKey.generate()
        share = own.public_key().public_bytes_raw()
        try:
            secret = own.exchange(X25519PublicKey.from_public_bytes(self.public))
        except ValueError:
            raise BadRecipient(given="That") from None
        return Stanza((X25519, _b64(share)), _seal(_x25519_key(secret, share, self.public), file_key))

    def unwrap(self, stanza: Stanza) -> bytes | None:
        return None


@dataclass(frozen=True)
class Identity:
    """A private key, ``AGE-SECRET-KEY-1…``: for reading."""

    private: bytes

    def __repr__(self) -> str:
        return "Identity(...)"

    @classmethod
    def parse_file(cls, text: str) -> list[Identity]:
        """The keys in a file as age-keygen writes it. Raises BadIdentity."""
        lines = [line.strip() for line in text.splitlines()]
        try:
            found = [
                cls(decode("age-secret-key-", line)) for line in lines if line and not line.startswith("#")
            ]
        except NotBech32:
            found = []
        if not found:
            raise BadIdentity()
        return found

    def wrap(self, file_key: bytes) -> Stanza:
        return Recipient(self._key().public_key().public_bytes_raw()).wrap(file_key)

    def unwrap(self, stanza: Stanza) -> bytes | None:
        if stanza.words[0] != X25519 or len(stanza.words) != 2:
            return None
        share, own = _unb64(stanza.words[1]), self._key()
        try:
            secret = own.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError:
            return None
        key = _x25519_key(secret, share, own.public_key().public_bytes_raw())
        return _unseal(key, stanza.body)

    def _key(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(self.private)


class Sealer:
    """A file to write to; what arrives in `out` is encrypted. Without `close` it stays what no reader takes for whole."""

    def __init__(self, out: BinaryIO, locks: Sequence[Lock]) -> None:
        file_key, nonce = os.urandom(FILE_KEY_BYTES), os.urandom(NONCE_BYTES)
        header = MAGIC + b"\n" + b"".join(lock.wrap(file_key).lines() for lock in locks) + b"---"
        self._out = out
        self._cipher = ChaCha20Poly1305(_derive(file_key, nonce, b"payload"))
        self._count = 0
        self._held = bytearray()
        _write_all(out, header + b" " + _b64(_mac(file_key, header).finalize()).encode() + b"\n" + nonce)

    def write(self, data: bytes) -> int:
        self._held += data
        # The last chunk is sealed by `close` only, however full it is.
        while len(self._held) > CHUNK_BYTES:
            self._seal(bytes(self._held[:CHUNK_BYTES]), last=False)
            del self._held[:CHUNK_BYTES]
        return len(data)

    def close(self) -> None:
        self._seal(bytes(self._held), last=True)
        self._out.flush()

    def _seal(self, chunk: bytes, last: bool) -> None:
        _write_all(self._out, self._cipher.encrypt(_nonce(self._count, last), chunk, None))
        self._count += 1


class Opener:
    """The content of what a Sealer wrote, as a file to read from. Raises NotSealed, WrongKey, Damaged; what it has given
    out before is genuine, but only its end says that it was all."""

    def __init__(self, source: BinaryIO, locks: Callable[[], Sequence[Lock]], first: bytes = b"") -> None:
        """`first` is what was read of the source already; `locks` is asked for when the header was understood."""
        self._source = source
        self._ahead = first
        file_key = self._file_key(locks)
        nonce = self._exactly(NONCE_BYTES)
        self._cipher = ChaCha20Poly1305(_derive(file_key, nonce, b"payload"))
        self._count = 0
        self._plain = b""
        self._chunk = self._take(CHUNK_BYTES + TAG_BYTES)
        if not self._chunk:
            raise Damaged(reason="it ends early")

    def read(self, size: int = -1) -> bytes:
        """At least one byte, as long as there are any; at most `size`."""
        while not self._plain and self._chunk:
            following = self._take(CHUNK_BYTES + TAG_BYTES)
            self._plain = self._open(self._chunk, last=not following)
            self._chunk = following
        part = self._plain if size < 0 else self._plain[:size]
        self._plain = self._plain[len(part) :]
        return part

    def _open(self, chunk: bytes, last: bool) -> bytes:
        try:
            plain = self._cipher.decrypt(_nonce(self._count, last), chunk, None)
        except InvalidTag:
            what = "it ends early" if last else f"part {self._count + 1} of 64 kB was changed"
            raise Damaged(reason=what) from None
        if last and not plain and self._count:
            raise Damaged(reason="its end is not what was written")
        self._count += 1
        return plain

    def _file_key(self, locks: Callable[[], Sequence[Lock]]) -> bytes:
        if self._line() != MAGIC:
            raise NotSealed()
        header = MAGIC + b"\n"
        stanzas: list[Stanza] = []
        while (line := self._line()).startswith(b"-> ") and len(stanzas) < MAX_STANZAS:
            words = tuple(line.decode("ascii", "replace").split(" ")[1:])
            body, rows = b"", b""
            while True:
                row = self._line()
                body, rows = body + row, rows + row + b"\n"
                if len(row) < BODY_COLUMNS:
                    break
            stanzas.append(Stanza(words, _unb64(body.decode("ascii", "replace"))))
            header += line + b"\n" + rows
        if not line.startswith(b"--- "):
            raise Damaged(reason="its head can't be read")
        mac = _unb64(line[4:].decode("ascii", "replace"))
        for lock in locks():
            for stanza in stanzas:
                file_key = lock.unwrap(stanza)
                if file_key is not None and len(file_key) == FILE_KEY_BYTES:
                    try:
                        _mac(file_key, header + b"---").verify(mac)
                    except InvalidSignature:
                        raise Damaged(reason="its head was changed") from None
                    return file_key
        raise WrongKey()

    def _line(self) -> bytes:
        while b"\n" not in self._ahead:
            more = self._source.read(1) if len(self._ahead) < MAX_HEADER_LINE else b""
            if not more:
                raise Damaged(reason="its head ends early") if self._ahead.startswith(MAGIC) else NotSealed()
            self._ahead += more
        line, _, self._ahead = self._ahead.partition(b"\n")
        return line

    def _exactly(self, size: int) -> bytes:
        data = self._take(size)
        if len(data) < size:
            raise Damaged(reason="it ends early")
        return data

    def _take(self, size: int) -> bytes:
        """So many bytes, fewer only at the end."""
        data = bytearray(self._ahead[:size])
        self._ahead = self._ahead[size:]
        while len(data) < size and (more := self._source.read(size - len(data))):
            data += more
        return bytes(data)


def _derive(key: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, info).derive(key)


def _x25519_key(secret: bytes, share: bytes, public: bytes) -> bytes:
    return _derive(secret, share + public, MAGIC + b"/X25519")


def _mac(file_key: bytes, header: bytes) -> hmac.HMAC:
    code = hmac.HMAC(_derive(file_key, None, b"header"), hashes.SHA256())
    code.update(header)
    return code


def _nonce(count: int, last: bool) -> bytes:
    return count.to_bytes(11, "big") + bytes([last])


def _seal(key: bytes, file_key: bytes) -> bytes:
    return ChaCha20Poly1305(key).encrypt(bytes(12), file_key, None)


def _unseal(key: bytes, body: bytes) -> bytes | None:
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(12), body, None)
    except InvalidTag:
        return None


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _unb64(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Damaged(reason="its head can't be read") from None


def _write_all(out: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[out.write(view) or 0 :]
