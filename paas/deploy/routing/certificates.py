"""Where a certificate comes from: two files of the host, or a tar archive with one .crt and one .key file."""

from __future__ import annotations

import io
import stat
import tarfile
from pathlib import Path, PurePosixPath

from paas.errors import PaasError
from paas.model.certificate import Certificate

MAX_FILE_BYTES = 1024 * 1024
MAX_ARCHIVE_BYTES = 4 * 1024 * 1024
MAX_ENTRIES = 100


class CrtMissing(PaasError):
    """CRT file specified not found, please check file paths"""


class KeyMissing(PaasError):
    """KEY file specified not found, please check file paths"""


class NoArchive(PaasError):
    """Tar archive containing server.crt and server.key expected on stdin"""


class BadArchive(PaasError):
    """{what}"""


def from_files(certificate: str, key: str) -> Certificate:
    """Raises CrtMissing, KeyMissing, and what Certificate.parse raises."""
    return Certificate.parse(_read(certificate, CrtMissing), _read(key, KeyMissing))


def _read(name: str, missing: type[PaasError]) -> bytes:
    path = Path(name)
    try:
        if name and stat.S_ISREG(path.stat().st_mode) and path.stat().st_size <= MAX_FILE_BYTES:
            return path.read_bytes()
    except (OSError, ValueError):
        pass
    raise missing()


def from_archive(data: bytes) -> Certificate:
    """From a tar archive; nothing is unpacked. Raises NoArchive, BadArchive, and what Certificate.parse raises."""
    if not data:
        raise NoArchive()
    if len(data) > MAX_ARCHIVE_BYTES:
        raise BadArchive(what=f"Archive exceeds maximum allowed size of {MAX_ARCHIVE_BYTES} bytes")
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            members = archive.getmembers()
            _check(members)
            files = [member for member in members if member.isfile() and not _of_osx(member.name)]
            found = [_only(archive, files, suffix) for suffix in (".crt", ".key")]
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BadArchive(
            what="The tar archive on standard input can't be read: it ends early or is no tar archive. Nothing was changed"
        ) from error
    return Certificate.parse(*found)


def _of_osx(name: str) -> bool:
    """OSX keeps what is special about a file in a twin of it."""
    return PurePosixPath(name).name.startswith("._")


def _check(members: list[tarfile.TarInfo]) -> None:
    if len(members) > MAX_ENTRIES:
        raise BadArchive(
            what=f"Archive contains {len(members)} entries which exceeds the maximum of {MAX_ENTRIES}"
        )
    for member in members:
        if member.name.startswith("/"):
            raise BadArchive(what="Archive contains entries with absolute paths")
        if ".." in PurePosixPath(member.name).parts:
            raise BadArchive(what="Archive contains entries with parent directory traversal")
        if member.islnk() or member.issym():
            if member.linkname.startswith("/"):
                raise BadArchive(what="Archive contains symlinks with absolute targets")
            if ".." in PurePosixPath(member.linkname).parts:
                raise BadArchive(what="Archive contains symlinks pointing outside extraction directory")


def _only(archive: tarfile.TarFile, files: list[tarfile.TarInfo], suffix: str) -> bytes:
    found = [member for member in files if member.name.endswith(suffix)]
    if not found:
        raise BadArchive(what=f"Tar archive missing {suffix} file")
    if len(found) > 1:
        raise BadArchive(what=f"Tar archive contains more than one {suffix} file")
    # A file with holes in a small archive may be of any size.
    if found[0].size > MAX_FILE_BYTES:
        raise BadArchive(what=f"The {suffix} file is larger than {MAX_FILE_BYTES} bytes")
    file = archive.extractfile(found[0])
    return file.read() if file else b""
