"""The files of a tar or zip archive that comes from anybody, written into a draft's objects and nowhere else.

Nothing is unpacked to a disk: there is no path on this machine that an entry could reach. What is refused would reach
out of the image's build context, or be more than the limits allow.
"""

from __future__ import annotations

import gzip
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Literal, NoReturn

from dulwich.objects import ObjectID

from paas.errors import PaasError
from paas.model.names import printable
from paas.store.drafts import Draft, WrongSize

ArchiveType = Literal["tar", "tar.gz", "zip"]
TYPES: tuple[ArchiveType, ...] = ("tar", "tar.gz", "zip")

CHUNK_BYTES = 65536
# A tar entry's own header, and a long name with its header.
TAR_ENTRY_BYTES = 3 * tarfile.BLOCKSIZE
ZIP_ENTRY_BYTES = 512
SPARE_BYTES = 1 << 20
MAX_HEADER_BYTES = 1 << 16
MAX_PATH_LENGTH = 4096
MAX_DEPTH = 100
MAX_LINK_STEPS = 40
LINK_MODE = 0o120000

Files = dict[str, tuple[int, ObjectID]]


class InvalidArchiveType(PaasError):
    """Invalid archive type specified, valid archive types include: tar, tar.gz, zip"""


class ArchiveRefused(PaasError):
    """{text}"""


class ArchiveTooLarge(ArchiveRefused):
    """Archive exceeds maximum allowed size of {limit} bytes"""


class TooManyEntries(ArchiveRefused):
    """Archive contains {count} entries which exceeds the maximum of {limit}"""


class AbsolutePaths(ArchiveRefused):
    """Archive contains entries with absolute paths"""


class ParentTraversal(ArchiveRefused):
    """Archive contains entries with parent directory traversal"""


class UnsafePaths(ArchiveRefused):
    """Archive contains entries with unsafe paths"""


class AbsoluteLinks(ArchiveRefused):
    """Archive contains symlinks with absolute targets"""


class LinksOutside(ArchiveRefused):
    """Archive contains symlinks pointing outside extraction directory"""


class SpecialFiles(ArchiveRefused):
    """Archive contains {what}: {path}"""


class Duplicates(ArchiveRefused):
    """Archive contains more than one entry for {path}"""


class BrokenArchive(ArchiveRefused):
    """The archive can't be read: {reason}. Nothing was changed. Send a whole {kind} archive"""


class NoFiles(ArchiveRefused):
    """The archive has no files. Nothing was changed"""


@dataclass(frozen=True)
class Limits:
    """`size` in bytes, of the archive as well as of what is in it; `entries` counts folders too."""

    size: int
    entries: int


def parse_type(text: str) -> ArchiveType:
    """Raises InvalidArchiveType."""
    for known in TYPES:
        if text == known:
            return known
    raise InvalidArchiveType()


def read_archive(file: IO[bytes], kind: ArchiveType, limits: Limits, draft: Draft) -> Content:
    """Write every file of an archive (seekable, at its start) into `draft`. Raises a kind of ArchiveRefused."""
    content = Content(limits, draft)
    try:
        if kind == "zip":
            _read_zip(file, content)
        else:
            _read_tar(file, content)
    except (tarfile.TarError, zipfile.BadZipFile, WrongSize, EOFError, zlib.error, RecursionError) as error:
        _broken(kind, str(error))
    except (OSError, ValueError, NotImplementedError, OverflowError, RuntimeError) as error:
        # gzip raises OSErrors for bad data; a full disk has a number.
        if isinstance(error, OSError) and error.errno:
            raise
        _broken(kind, str(error))
    content.check_files()
    return content


def _broken(kind: str, reason: str) -> NoReturn:
    raise BrokenArchive(reason=printable(reason) if reason else "it ends early", kind=kind) from None


@dataclass
class Content:
    """What was found so far: by path the files with (mode, object), the targets of those that are links, folders."""

    limits: Limits
    draft: Draft
    files: Files = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    size: int = 0
    entries: int = 0

    def count(self) -> None:
        """One more entry. Raises TooManyEntries."""
        self.entries += 1
        if self.entries > self.limits.entries:
            raise TooManyEntries(count=f"at least {self.entries}", limit=self.limits.entries)

    def room(self, size: int) -> None:
        """Whether `size` more bytes are allowed. Raises ArchiveTooLarge."""
        if self.size + size > self.limits.size:
            raise ArchiveTooLarge(limit=self.limits.size)

    def add_file(self, path: str, mode: int, size: int, read: Callable[[int], bytes]) -> None:
        """A regular file; `read` gives its bytes. Files of a .git folder are left out, as git does."""
        if mode & (stat.S_ISUID | stat.S_ISGID):
            raise SpecialFiles(what="a setuid or setgid file", path=printable(path))
        self.room(size)
        self.size += size
        if self._is_new(path):
            chunks = iter(lambda: read(CHUNK_BYTES), b"")
            self.files[path] = (0o100755 if mode & 0o100 else 0o100644, self.draft.add(chunks, size))

    def add_link(self, path: str, target: str) -> None:
        """A symbolic link; where it leads is looked at when all is known."""
        data = target.encode("utf-8", "surrogateescape")
        if not target or "\0" in target or len(data) > MAX_PATH_LENGTH:
            raise LinksOutside()
        if target.startswith("/"):
            raise AbsoluteLinks()
        if self._is_new(path):
            self.links[path] = target
            self.files[path] = (LINK_MODE, self.draft.add([data], len(data)))

    def add_copy(self, path: str, target: str) -> None:
        """A hard link to an earlier file."""
        if self._is_new(path):
            if target not in self.files or target in self.links:
                raise LinksOutside()
            self.files[path] = self.files[target]

    def add_folder(self, path: str) -> None:
        if path in self.files:
            raise Duplicates(path=printable(path))
        self.folders.add(path)

    def _is_new(self, path: str) -> bool:
        """Whether to keep the file. Raises Duplicates."""
        if path in self.files or path in self.folders or not path:
            raise Duplicates(path=printable(path or "."))
        return ".git" not in path.split("/")

    def check_files(self) -> None:
        """Whether the files fit together. Raises Duplicates or NoFiles."""
        if not self.files:
            raise NoFiles()
        for path in self.files:
            for parent in _parents(path):
                # A file below a link would be written where the link leads.
                if parent in self.files:
                    raise Duplicates(path=printable(parent))

    def strip(self, most: int) -> int:
        """Take away the folders (`most` of them) in which all files are; how many those were. Raises LinksOutside
        for links that leave what remains."""
        common = posixpath.commonpath([f"/{posixpath.dirname(path)}" for path in self.files]).strip("/")
        count = min(most, len(common.split("/")) if common else 0)
        self.files = {_without(path, count): item for path, item in self.files.items()}
        self.links = {_without(path, count): target for path, target in self.links.items()}
        check_links(self.links)
        return count


def _without(path: str, count: int) -> str:
    return "/".join(path.split("/")[count:])


def _parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def clean_path(name: str) -> str:
    """An entry's path without ``.`` and empty parts. Raises AbsolutePaths, ParentTraversal or UnsafePaths."""
    if name.startswith("/"):
        raise AbsolutePaths()
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ParentTraversal()
    if "\0" in name or len(name) > MAX_PATH_LENGTH or len(parts) > MAX_DEPTH:
        raise UnsafePaths()
    if any(part != ".git" and _looks_like_git(part) for part in parts):
        raise UnsafePaths()
    return "/".join(parts)


def _looks_like_git(part: str) -> bool:
    """What is .git on a file system that ignores case or characters; git refuses it in commits."""
    plain = "".join(c for c in part if c.isprintable()).rstrip(" .").lower()
    return plain in (".git", "git~1")


def check_links(links: dict[str, str]) -> None:
    """Follow every link through the others. Raises LinksOutside for one that leaves the top, or turns in a circle."""
    for path, target in links.items():
        place = posixpath.dirname(path).split("/") if "/" in path else []
        todo = target.split("/")[::-1]
        steps = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not place:
                    raise LinksOutside()
                place.pop()
                continue
            place.append(part)
            onward = links.get("/".join(place))
            if onward is not None:
                steps += 1
                if steps > MAX_LINK_STEPS:
                    raise LinksOutside()
                place.pop()
                todo += onward.split("/")[::-1]


class _Counted:
    """What is decompressed, up to a limit: a small file may hold a large archive."""

    def __init__(self, file: IO[bytes], limit: int, limits: Limits) -> None:
        self.file, self.left, self.limits = file, limit, limits

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise ArchiveTooLarge(limit=self.limits.size)
        return data


class BoundedHeader(tarfile.TarInfo):
    """A header whose own length is bounded: tarfile reads long names and attributes into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> BoundedHeader:
        if len(buf) != tarfile.BLOCKSIZE:
            raise ValueError("it ends early")
        if not any(buf):
            # The mark of the end, for which tarfile has an exception of its own.
            return super().frombuf(buf, encoding, errors)
        try:
            found = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError:
            raise ValueError("it is damaged, or no tar archive") from None
        plain = found.type in (*tarfile.REGULAR_TYPES, tarfile.GNUTYPE_SPARSE)
        if found.size < 0 or (not plain and found.size > MAX_HEADER_BYTES):
            raise ValueError("a header is too long")
        return found


def _read_tar(file: IO[bytes], content: Content) -> None:
    limits = content.limits
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    plain: IO[bytes] = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]
    most = limits.size + (limits.entries + 1) * TAR_ENTRY_BYTES + SPARE_BYTES
    source: Any = _Counted(plain, most, limits)
    # As a stream: an entry can't send the reader back, and none is read twice.
    with tarfile.open(fileobj=source, mode="r|", tarinfo=BoundedHeader) as archive:
        for member in archive:
            content.count()
            _add_member(archive, member, content)
    # What is compressed ends with a checksum.
    while source.read(CHUNK_BYTES):
        pass


def _add_member(archive: tarfile.TarFile, member: tarfile.TarInfo, content: Content) -> None:
    path = clean_path(member.name)
    if member.isdir():
        if path:
            content.add_folder(path)
    elif member.issym():
        content.add_link(path, member.linkname)
    elif member.islnk():
        content.add_copy(path, clean_path(member.linkname))
    elif member.isreg():
        content.room(member.size)
        data = archive.extractfile(member)
        if data is None:
            raise EOFError("it ends early")
        content.add_file(path, member.mode, member.size, data.read)
    else:
        raise SpecialFiles(what="a device file, a FIFO or a socket", path=printable(path))


class _Bounded:
    """zipfile reads the whole directory of an archive at once; this one says how large that may be."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self.limit = limit
        self.file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > self.limit * ZIP_ENTRY_BYTES + SPARE_BYTES:
            raise TooManyEntries(count=f"at least {self.limit + 1}", limit=self.limit)
        return self.file.read(size)


def _read_zip(file: IO[bytes], content: Content) -> None:
    limit = content.limits.entries
    bounded: Any = _Bounded(file, limit)
    with zipfile.ZipFile(bounded) as archive:
        found = archive.infolist()
        if len(found) > limit:
            raise TooManyEntries(count=len(found), limit=limit)
        for item in found:
            content.count()
            _add_zipped(archive, item, content)


def _add_zipped(archive: zipfile.ZipFile, item: zipfile.ZipInfo, content: Content) -> None:
    try:
        path = clean_path(item.filename)
    except (AbsolutePaths, ParentTraversal):
        raise UnsafePaths() from None
    if "\\" in item.orig_filename or item.filename[1:2] == ":" or "\0" in item.orig_filename:
        raise UnsafePaths()
    mode = item.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if item.is_dir() or kind == stat.S_IFDIR:
        if path:
            content.add_folder(path)
        return
    if item.flag_bits & 1:
        raise ArchiveRefused("Archive is encrypted. Nothing was changed. Send one without a password")
    content.room(item.file_size)
    if kind == stat.S_IFLNK:
        if item.file_size > MAX_PATH_LENGTH:
            raise LinksOutside()
        content.add_link(path, archive.read(item).decode("utf-8", "surrogateescape"))
    elif kind in (0, stat.S_IFREG):
        with archive.open(item) as data:
            content.add_file(path, mode, item.file_size, data.read)
    else:
        raise SpecialFiles(what="a device file, a FIFO or a socket", path=printable(path))
