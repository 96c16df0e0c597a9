"""A `docker image save` archive on its way to the engine: written anew, with one image in it and under one name.

An archive says itself which names its images get, and the engine believes it: the name of another app's release, of an
image that other apps are built on. So only the image that was asked for is let through, named as we say; what is no
file, folder or link of an image archive is refused. Nothing but the lists is kept in memory, and nothing on a disk.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, BinaryIO, NoReturn

from paas.deploy.sources.archive import ArchiveRefused, BoundedHeader, clean_path
from paas.engine import tar
from paas.engine.images import LoadFailed
from paas.errors import PaasError
from paas.model.image import ImageRef
from paas.model.names import printable

CHUNK_BYTES = 1 << 16
MAX_ENTRIES = 10_000  # three a layer, of which an image has 127 at the most
MAX_IMAGES = 1000
MAX_LAYERS = 1000
MAX_LIST_BYTES = 4 << 20  # of manifest.json, and of an image's config, which the engine reads whole
FREE_BYTES = 1 << 30  # what may come out of a compressed archive whatever its size
MAX_RATIO = 200
BROKEN = "it ends early or is no tar archive"
MANIFEST, INDEX, REPOSITORIES = "manifest.json", "index.json", "repositories"
NAME_ANNOTATION = "io.containerd.image.name"
_MAGIC: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", lambda source: gzip.GzipFile(fileobj=source, mode="rb")),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\0", lzma.LZMAFile),
)
_ZSTD = b"\x28\xb5\x2f\xfd"


class ImageNotInArchive(PaasError):
    """Loaded image tarball but the specified docker image was not found: {image}"""


def only_image(archive: BinaryIO, ref: ImageRef, name: str) -> Iterator[bytes]:
    """The archive (unbuffered: a read is what there is) with nothing in its lists but the image that `ref` means, called
    `name` (``repository:tag``).

    While it is read it raises LoadFailed for what the engine must not get, ImageNotInArchive.
    """
    counted = _Input(archive)
    try:
        yield from _Rewriting(ref, name).run(_plain(counted))
    except (ArchiveRefused, _Refused) as error:
        _refuse(str(error))
    except OSError as error:
        # gzip raises such for bad data, without a number.
        if error.errno:
            raise
        _refuse(BROKEN)
    except (tarfile.TarError, EOFError, ValueError, OverflowError, zlib.error, lzma.LZMAError, RecursionError):
        _refuse(BROKEN)


class _Refused(ValueError):
    """Said of an archive as it is."""


def _refuse(reason: str) -> NoReturn:
    raise LoadFailed(reason=printable(reason, 300)) from None


class _Input:
    """What comes from the client, counted; its first bytes can be looked at."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.count = file, 0
        self.held = b""
        while len(self.held) < 6 and (more := file.read(6 - len(self.held))):
            self.held += more

    def read(self, size: int = -1) -> bytes:
        """As much of it as there is at once."""
        size = CHUNK_BYTES if size < 0 else min(size, CHUNK_BYTES)
        data = self.held[:size]
        self.held = self.held[len(data) :]
        data = data or self.file.read(size)
        self.count += len(data)
        return data


class _Unpacked:
    """What comes out of a compressed archive, as long as that is not much more than what went in."""

    def __init__(self, file: IO[bytes], source: _Input) -> None:
        self.file, self.source, self.count = file, source, 0

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.count += len(data)
        if self.count > FREE_BYTES and self.count > MAX_RATIO * self.source.count:
            raise _Refused(f"it unpacks to more than {MAX_RATIO} times its size")
        return data


class _Entries:
    """What tarfile reads the headers from. Contents are taken from it directly: through tarfile each byte would be copied
    three times more."""

    def __init__(self, source: _Input | _Unpacked) -> None:
        self.source, self.place = source, 0

    def read(self, size: int) -> bytes:
        return b"".join(self._pieces(size))

    def content(self, size: int) -> Iterator[bytes]:
        """Of the entry whose header was read last, to its end. Raises EOFError."""
        end = self.place + size
        yield from self._pieces(size)
        self.read(-size % tarfile.BLOCKSIZE)
        if self.place < end:
            raise EOFError

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size and (data := self.source.read(min(size, CHUNK_BYTES))):
            size -= len(data)
            self.place += len(data)
            yield data

    def tell(self) -> int:
        return self.place

    def seek(self, _place: int) -> int:
        """Where tarfile wants to be elsewhere, contents and headers do not fit together."""
        raise tarfile.ReadError


def _plain(source: _Input) -> Any:
    if source.held.startswith(_ZSTD):
        raise _Refused("it is compressed with zstd; send it plain or with gzip, bzip2 or xz")
    for magic, opener in _MAGIC:
        if source.held.startswith(magic):
            return _Unpacked(opener(source), source)
    return source


class _Rewriting:
    """The archive's members in the order in which they come."""

    def __init__(self, ref: ImageRef, name: str) -> None:
        self.ref, self.name = ref, name
        self.files: dict[str, int] = {}  # with their sizes
        self.links: set[str] = set()
        self.folders: set[str] = set()
        self.config: str | None = None
        self.named = False

    def run(self, source: Any) -> Iterator[bytes]:
        count = 0
        entries: Any = _Entries(source)
        with tarfile.open(fileobj=entries, mode="r:", tarinfo=BoundedHeader) as archive:
            for member in archive:
                count += 1
                if count > MAX_ENTRIES:
                    raise _Refused(f"it has more than {MAX_ENTRIES} entries")
                yield from self._member(entries, member, clean_path(member.name))
        while source.read(CHUNK_BYTES):  # What is compressed ends with a checksum.
            pass
        if not self.named:
            raise _Refused("it holds no image")
        if self.config is not None and self.files.get(self.config, 0) > MAX_LIST_BYTES:
            raise _Refused("its image has a config of more than 4 MB")
        yield tar.END

    def _member(self, entries: _Entries, member: tarfile.TarInfo, path: str) -> Iterator[bytes]:
        if member.isdir():
            if path and path not in self.folders:
                self._new(path)
                self.folders.add(path)
                yield tar.header(path, kind=tarfile.DIRTYPE)
            return
        if not path or path in self.folders:
            raise _Refused(f"it has more than one entry for {path or '.'}")
        self._new(path)
        if member.issym():
            # Older engines save a layer that several images have once, and link to it.
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), member.linkname))
            if member.linkname.startswith("/") or target.startswith("../") or path in (MANIFEST, INDEX):
                raise _Refused(f"its link {path} leads out of it")
            self.links.add(path)
            yield tar.header(path, kind=tarfile.SYMTYPE, link=member.linkname)
        elif not member.isreg() or member.issparse():
            raise _Refused(f"{path} is no file, folder or symbolic link")
        else:
            self.files[path] = member.size
            yield from self._file(entries.content(member.size), path, member.size)

    def _new(self, path: str) -> None:
        """Whether an entry may be there. Raises _Refused: what comes twice, or below a link, would replace another one."""
        if path in self.files or path in self.links:
            raise _Refused(f"it has more than one entry for {path}")
        parent = path
        while parent := posixpath.dirname(parent):
            if parent in self.links or parent in self.files:
                raise _Refused(f"{path} lies below what is no folder")

    def _file(self, content: Iterator[bytes], path: str, size: int) -> Iterator[bytes]:
        if path not in (MANIFEST, INDEX, REPOSITORIES):
            yield tar.header(path, size)
            yield from content
            yield tar.padding(size)
            return
        if size > MAX_LIST_BYTES:
            raise _Refused(f"its {path} is larger than 4 MB")
        data = b"".join(content)
        if path == REPOSITORIES:
            return  # Names for engines from before 2016.
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            raise _Refused(f"its {path} can't be read") from None
        yield tar.file(path, json.dumps(self._manifest(found) if path == MANIFEST else self._index(found)).encode())

    def _manifest(self, found: Any) -> list[dict[str, Any]]:
        """Only what we know of an image is written: an engine reads keys in any case and spelling."""
        if not isinstance(found, list) or len(found) > MAX_IMAGES:
            raise _Refused("its manifest.json can't be read")
        for item in found:
            config, layers, tags = (_get(item, key) for key in ("Config", "Layers", "RepoTags"))
            if not self._is_meant(tags, config):
                continue
            layers = layers or []
            if not _texts(layers) or len(layers) > MAX_LAYERS or not isinstance(config, str):
                raise _Refused("its manifest.json can't be read")
            self.config, self.named = clean_path(config), True
            return [{"Config": self.config, "RepoTags": [self.name], "Layers": [clean_path(path) for path in layers]}]
        raise ImageNotInArchive(image=self.ref)

    def _index(self, found: Any) -> dict[str, Any]:
        """The list of the newer format, by which engines go that keep images as registries do."""
        items = _get(found, "manifests")
        if not isinstance(items, list) or len(items) > MAX_IMAGES:
            raise _Refused("its index.json can't be read")
        kept = []
        for item in items:
            names = [_get(_get(item, "annotations"), NAME_ANNOTATION)]
            if self._is_meant(names, _get(item, "digest")):
                plain = {key: item[key] for key in ("mediaType", "digest", "size", "platform") if key in item}
                kept.append(plain | {"annotations": {NAME_ANNOTATION: f"docker.io/{self.name}"}})
        return {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": kept[:1]}

    def _is_meant(self, names: Any, digest: Any) -> bool:
        """Whether an image of these names, with this digest (or a config whose path has it), is the one that was asked for."""
        if self.ref.digest and isinstance(digest, str) and self.ref.digest.removeprefix("sha256:") in digest:
            return True
        return _texts(names) and any(_name(text) == self.ref.name for text in names)


def _name(text: str) -> str:
    try:
        return ImageRef.parse(text).name
    except PaasError:
        return ""


def _get(item: Any, key: str) -> Any:
    return item.get(key) if isinstance(item, dict) else None


def _texts(items: Any) -> bool:
    return isinstance(items, list) and all(isinstance(item, str) for item in items)
