"""The files of a build, wherever they are: what there is, and the bytes of each."""

from __future__ import annotations

import os
import stat
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from paas.engine import tar

READ_BYTES = 1 << 16
_KINDS = {stat.S_IFDIR: tarfile.DIRTYPE, stat.S_IFLNK: tarfile.SYMTYPE, stat.S_IFREG: tarfile.REGTYPE}


@dataclass(frozen=True)
class Entry:
    """A file, link or folder; `mode` as in stat(2), `size` in bytes, `link` where a link leads."""

    path: str
    mode: int
    size: int = 0
    mtime_ns: int = 0
    link: str = ""


class Context(Protocol):
    """The files of a build, with forward slashes and without a leading one. `always` names those that no .dockerignore
    leaves out."""

    @property
    def always(self) -> frozenset[str]: ...
    def entries(self) -> Sequence[Entry]:
        """In the order of `in_order`."""

    def read(self, entry: Entry) -> Iterator[bytes]:
        """Exactly `entry.size` bytes."""


def in_order(entries: Sequence[Entry]) -> list[Entry]:
    """A folder, then all that is in it, then what comes after it."""
    return sorted(entries, key=lambda entry: os.fsencode(entry.path).split(b"/"))


class FolderContext:
    """The files below a folder, and `extra` ones beside or instead of them, which no .dockerignore leaves out."""

    def __init__(self, folder: Path, extra: Mapping[str, bytes] | None = None) -> None:
        self.folder = folder
        self.extra = dict(extra or {})
        self.always = frozenset(self.extra)

    def entries(self) -> list[Entry]:
        found = extra_entries(self.extra)
        for place, folders, files in os.walk(self.folder):
            for name in [*folders, *files]:
                path = Path(place) / name
                info = path.lstat()
                relative = str(path.relative_to(self.folder))
                if relative in self.extra or stat.S_IFMT(info.st_mode) not in _KINDS:
                    continue
                size = info.st_size if stat.S_ISREG(info.st_mode) else 0
                link = str(path.readlink()) if stat.S_ISLNK(info.st_mode) else ""
                found.append(Entry(relative, info.st_mode, size, info.st_mtime_ns, link))
        return in_order(found)

    def read(self, entry: Entry) -> Iterator[bytes]:
        if entry.path in self.extra:
            yield self.extra[entry.path]
            return
        with (self.folder / entry.path).open("rb") as file:
            while piece := file.read(READ_BYTES):
                yield piece


def extra_entries(extra: Mapping[str, bytes]) -> list[Entry]:
    """Files that are as they are since now."""
    now = time.time_ns()
    return [Entry(path, stat.S_IFREG | 0o644, len(data), now) for path, data in extra.items()]


def as_tar(context: Context, entries: Sequence[Entry]) -> Iterator[bytes]:
    """A tar archive of some of a context's files, a piece at a time."""
    for entry in entries:
        item = tarfile.TarInfo(entry.path)
        item.type = _KINDS[stat.S_IFMT(entry.mode)]
        item.mode, item.size, item.linkname = stat.S_IMODE(entry.mode), entry.size, entry.link
        item.mtime = entry.mtime_ns // 10**9
        yield item.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        if item.isreg():
            yield from context.read(entry)
            yield tar.padding(entry.size)
    yield tar.END
