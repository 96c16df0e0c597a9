"""The pieces of a tar archive that is written as it is sent: a header, the content, what fills it up, and the end."""

from __future__ import annotations

import tarfile

END = bytes(2 * tarfile.BLOCKSIZE)


def header(path: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """Of a file, folder (DIRTYPE) or link (SYMTYPE), with the usual modes."""
    entry = tarfile.TarInfo(path)
    entry.type, entry.size, entry.linkname = kind, size, link
    entry.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def padding(size: int) -> bytes:
    """What comes after a content of `size` bytes."""
    return bytes(-size % tarfile.BLOCKSIZE)


def file(path: str, data: bytes) -> bytes:
    """A whole one."""
    return header(path, len(data)) + data + padding(len(data))
