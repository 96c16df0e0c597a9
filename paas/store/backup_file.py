"""What a backup is inside of its encryption: a tar archive that is written and read in one pass.

`manifest.json` comes first and says what follows; `end.json` comes last, and without it a backup is not whole. Content
whose length nobody knows beforehand (a repository's bundle, a volume, the images) is cut into numbered parts:
`images/00000000`, `images/00000001`, …; joined they are the whole again.
"""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast

from paas.errors import PaasError
from paas.store.database import migrations
from paas.store.sealed import Damaged

FORMAT = 1
PART_BYTES = 4 * 1024 * 1024
READ_BYTES = 1024 * 1024
MAX_MANIFEST_BYTES = 64 * 1024 * 1024
MANIFEST, END = "manifest.json", "end.json"
DATABASE, FILES, REPOSITORIES, VOLUMES, IMAGES = "paas.db", "files", "repositories", "volumes", "images"


class NewerBackup(PaasError):
    """The backup was made by a newer paas ({version}). Nothing was changed. Install that version here, then try again"""


@dataclass(frozen=True)
class Contents:
    """What a backup says about itself. `repositories` tells each app's HEAD (``refs/heads/…``), `empty` those that have
    no commit, `volumes` the places on the host, `images` names of releases' images, `networks` those of network:create."""

    version: str
    schema: int
    created_at: int
    host: str
    root: str
    root_id: str
    apps: tuple[str, ...]
    repositories: dict[str, str]
    empty: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    format: int = FORMAT

    @classmethod
    def parse(cls, data: bytes) -> Contents:
        """Raises NewerBackup or Damaged."""
        try:
            values: dict[str, Any] = json.loads(data)
            if values["format"] > FORMAT or values["schema"] > len(migrations()):
                raise NewerBackup(version=str(values["version"])[:40])
            known: dict[str, Any] = {name: values[name] for name in cls.__dataclass_fields__}
        except (ValueError, KeyError, TypeError):
            raise Damaged(reason="its list of contents can't be read") from None
        known |= {key: tuple(item) for key, item in known.items() if isinstance(item, list)}
        return cls(**known)


class BackupWriter:
    """Writes the parts of a backup, in the order in which the methods are called."""

    def __init__(self, out: BinaryIO, contents: Contents) -> None:
        self._tar = tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=PART_BYTES // 16)
        self._members = 0
        self._add_bytes(MANIFEST, json.dumps(asdict(contents)).encode())

    def file(self, name: str, path: Path) -> None:
        """A file as it is now; one that has gone meanwhile is left out."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode):
                self._add(name, file, found.st_size, stat.S_IMODE(found.st_mode), int(found.st_mtime))

    def stream(self, name: str, chunks: Iterable[bytes]) -> int:
        """Content of unknown length, in parts. Returns its length in bytes."""
        held, number, total = bytearray(), 0, 0
        for chunk in chunks:
            held += chunk
            total += len(chunk)
            while len(held) >= PART_BYTES:
                self._add_bytes(f"{name}/{number:08}", bytes(held[:PART_BYTES]))
                del held[:PART_BYTES]
                number += 1
        if held:
            self._add_bytes(f"{name}/{number:08}", bytes(held))
        return total

    def end(self) -> None:
        self._add_bytes(END, json.dumps({"members": self._members}).encode())
        self._tar.close()

    def _add_bytes(self, name: str, data: bytes) -> None:
        self._add(name, io.BytesIO(data), len(data), 0o600, int(time.time()))

    def _add(self, name: str, file: BinaryIO, size: int, mode: int, modified: int) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = size, mode, modified
        self._tar.addfile(entry, _Padded(file, size))
        self._members += 1


class _Padded(io.RawIOBase):
    """A file of exactly so many bytes: one that was cut short while it was read (a log) is filled up."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__()
        self._file, self._left = file, size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(wanted)
        data += bytes(wanted - len(data))
        self._left -= len(data)
        return data


@dataclass(frozen=True)
class Member:
    """One piece of a backup: `name` is relative and stays below where it is put."""

    name: PurePosixPath
    size: int
    mode: int
    content: BinaryIO

    @property
    def section(self) -> str:
        return self.name.parts[0]


@dataclass
class BackupReader:
    """Reads a backup from its decrypted bytes. Raises Damaged, NewerBackup."""

    source: BinaryIO
    contents: Contents = field(init=False)
    _members: Iterator[Member] = field(init=False)
    _next: Member | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._members = self._read()
        first = self.next()
        if first is None or str(first.name) != MANIFEST or first.size > MAX_MANIFEST_BYTES:
            raise Damaged(reason="its list of contents is missing")
        self.contents = Contents.parse(first.content.read())

    def next(self) -> Member | None:
        """The next piece, None after the last one; then all was read, and it was whole."""
        found, self._next = self._next or next(self._members, None), None
        return found

    def joined(self, first: Member) -> Iterator[bytes]:
        """The content of a stream whose first part is `first`, a piece at a time; the reader goes on after it."""
        member: Member | None = first
        number = 0
        while member is not None and member.name.parent == first.name.parent:
            if member.name.name != f"{number:08}":
                raise Damaged(reason=f"{member.name} is not the part that comes next")
            while data := member.content.read(READ_BYTES):
                yield data
            number += 1
            member = self.next()
        self._next = member

    def _read(self) -> Iterator[Member]:
        count, ended = 0, False
        try:
            tar: Any = tarfile.open(fileobj=cast(Any, self.source), mode="r|", bufsize=READ_BYTES)
            while (entry := tar.next()) is not None:
                # What was read is not needed again; the list of it would grow with the backup.
                tar.members.clear()
                name = PurePosixPath(entry.name)
                content = tar.extractfile(entry) if entry.isreg() else None
                if ended or content is None or name.is_absolute() or ".." in name.parts or not name.parts:
                    raise Damaged(reason="it holds something that does not belong there")
                if entry.name == END:
                    ended = True
                    if json.loads(content.read(READ_BYTES))["members"] != count:
                        raise Damaged(reason="a part of it is missing")
                    continue
                count += 1
                yield Member(name, entry.size, entry.mode & 0o777, cast(BinaryIO, _Content(content)))
        except (tarfile.TarError, ValueError, KeyError, TypeError, EOFError) as error:
            raise _unreadable(error) from None
        # The end of the encryption says that nothing was cut off.
        while self.source.read(READ_BYTES):
            continue
        if not ended:
            raise Damaged(reason="it ends early")


class _Content(io.RawIOBase):
    """A piece's bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except tarfile.TarError as error:
            raise _unreadable(error) from None


def _unreadable(error: Exception) -> Damaged:
    return Damaged(reason=f"its archive can't be read ({type(error).__name__})")
