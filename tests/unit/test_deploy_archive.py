"""What of an archive becomes a commit, and what is refused."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from paas.deploy.sources.archive import (
    AbsoluteLinks,
    AbsolutePaths,
    ArchiveRefused,
    ArchiveTooLarge,
    ArchiveType,
    BrokenArchive,
    Content,
    Duplicates,
    InvalidArchiveType,
    Limits,
    LinksOutside,
    NoFiles,
    ParentTraversal,
    SpecialFiles,
    TooManyEntries,
    UnsafePaths,
    check_links,
    clean_path,
    parse_type,
    read_archive,
)
from paas.settings import Settings
from paas.store.drafts import Draft, drafted
from paas.store.repositories import Repository

MB = 1 << 20
LIMITS = Limits(size=MB, entries=100)


@pytest.fixture
def draft(settings: Settings) -> Iterator[Draft]:
    repository = Repository(settings, "a")
    repository.path.parent.mkdir(parents=True)
    settings.run_dir.mkdir()
    repository.create("master")
    with drafted(repository) as opened:
        yield opened


def tar(*entries: dict[str, Any], mode: str = "w") -> bytes:
    """An archive of entries: name, data, type, mode, linkname."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode=mode) as archive:  # type: ignore[call-overload]
        for entry in entries:
            data = entry.get("data", b"")
            info = tarfile.TarInfo(entry["name"])
            info.type, info.size = entry.get("type", tarfile.REGTYPE), len(data)
            info.mode, info.linkname = entry.get("mode", 0o644), entry.get("linkname", "")
            archive.addfile(info, io.BytesIO(data))
    return output.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> dict[str, Any]:
    return {"name": name, "type": kind, "linkname": target}


def zipped(*entries: tuple[str, bytes, int]) -> bytes:
    """An archive of (name, data, mode)."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data, mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return output.getvalue()


def read(draft: Draft, data: bytes, kind: ArchiveType = "tar", limits: Limits = LIMITS) -> Content:
    return read_archive(io.BytesIO(data), kind, limits, draft)


def shown(draft: Draft, content: Content) -> dict[str, tuple[int, bytes]]:
    """Path to (mode, bytes)."""
    store = draft.store
    return {path: (mode, store[name].as_raw_string()) for path, (mode, name) in content.files.items()}


FILE = {"name": "a", "data": b"1"}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_files_of_a_tar_whatever_it_is_called(draft: Draft, kind: ArchiveType, mode: str) -> None:
    data = tar(
        {"name": "./top", "type": tarfile.DIRTYPE, "mode": 0o2755},
        {"name": "./top/run", "data": b"#!/bin/sh", "mode": 0o755},
        {"name": "top/dir/file", "data": b"x" * 100_000},
        link("top/dir/up", "../run"),
        link("top/same", "./top/run", tarfile.LNKTYPE),
        {"name": "top/.git/config", "data": b"left out"},
        mode=mode,
    )
    content = read(draft, data, kind)
    assert content.strip(100) == 1
    assert shown(draft, content) == {
        "run": (0o100755, b"#!/bin/sh"),
        "dir/file": (0o100644, b"x" * 100_000),
        "dir/up": (0o120000, b"../run"),
        "same": (0o100755, b"#!/bin/sh"),
    }


def test_files_of_a_zip(draft: Draft) -> None:
    data = zipped(
        ("a/", b"", stat.S_IFDIR | 0o755),
        ("a/b/run", b"1", stat.S_IFREG | 0o755),
        ("a/b/plain", b"2", 0),
        ("a/b/link", b"run", stat.S_IFLNK | 0o777),
    )
    content = read(draft, data, "zip")
    assert content.strip(1) == 1
    assert shown(draft, content) == {
        "b/run": (0o100755, b"1"),
        "b/plain": (0o100644, b"2"),
        "b/link": (0o120000, b"run"),
    }


def test_git_agrees_with_what_was_written(draft: Draft, settings: Settings) -> None:
    content = read(draft, tar({"name": "a/b", "data": b"x" * 70_000}, {"name": "a.b", "data": b""}, link("l", "a/b")))
    commit = draft.commit(draft.tree(content.files), None, b"A <a@b>", "m")
    repository = Repository(settings, "a")
    assert repository.git("fsck", "--strict", "--full") == f"dangling commit {commit}\n".encode()
    assert repository.git("ls-tree", "-r", "--name-only", commit).split() == [b"a.b", b"a/b", b"l"]


@pytest.mark.parametrize(
    ("entries", "error", "text"),
    [
        ([{"name": "/etc/passwd"}], AbsolutePaths, "Archive contains entries with absolute paths"),
        ([{"name": "a/../../b"}], ParentTraversal, "Archive contains entries with parent directory traversal"),
        ([{"name": ".."}], ParentTraversal, "parent directory traversal"),
        ([link("l", "/etc")], AbsoluteLinks, "Archive contains symlinks with absolute targets"),
        ([FILE, link("b/l", "../../x")], LinksOutside, "Archive contains symlinks pointing outside extraction directory"),
        ([FILE, link("h", "/etc/passwd", tarfile.LNKTYPE)], AbsolutePaths, "absolute paths"),
        ([FILE, link("h", "../x", tarfile.LNKTYPE)], ParentTraversal, "parent directory"),
        ([FILE, link("h", "missing", tarfile.LNKTYPE)], LinksOutside, "outside"),
        ([link("l", "x"), link("h", "l", tarfile.LNKTYPE)], LinksOutside, "outside"),
        ([{"name": "d", "type": tarfile.CHRTYPE}], SpecialFiles, "Archive contains a device file, a FIFO or a socket: d"),
        ([{"name": "d", "type": tarfile.BLKTYPE}], SpecialFiles, "device"),
        ([{"name": "d", "type": tarfile.FIFOTYPE}], SpecialFiles, "FIFO"),
        ([{"name": "s", "mode": 0o4755}], SpecialFiles, "Archive contains a setuid or setgid file: s"),
        ([{"name": "s", "mode": 0o2755}], SpecialFiles, "setgid"),
        ([FILE, FILE], Duplicates, "Archive contains more than one entry for a"),
        ([FILE, {"name": "./a"}], Duplicates, "for a"),
        ([FILE, {"name": "a", "type": tarfile.DIRTYPE}], Duplicates, "for a"),
        ([{"name": "a", "type": tarfile.DIRTYPE}, FILE], Duplicates, "for a"),
        ([FILE, {"name": "a/b"}], Duplicates, "for a"),
        ([link("l", "d"), {"name": "l/f"}], Duplicates, "for l"),
        ([{"name": ".GIT/config"}], UnsafePaths, "Archive contains entries with unsafe paths"),
        ([{"name": "x/git~1/hooks"}], UnsafePaths, "unsafe"),
        ([{"name": ".git\u200c/config"}], UnsafePaths, "unsafe"),
        ([{"name": "a/" * 200 + "b"}], UnsafePaths, "unsafe"),
        ([{"name": "d", "type": tarfile.DIRTYPE}], NoFiles, "The archive has no files"),
        ([{"name": ".", "type": tarfile.DIRTYPE}, {"name": ".git/x"}], NoFiles, "no files"),
        ([{"name": "b", "data": b"x" * (MB + 1)}], ArchiveTooLarge, f"Archive exceeds maximum allowed size of {MB} bytes"),
        (
            [{"name": str(i)} for i in range(101)],
            TooManyEntries,
            "Archive contains at least 101 entries which exceeds the maximum of 100",
        ),
    ],
)
def test_what_a_tar_must_not_have(draft: Draft, entries: list[dict[str, Any]], error: type[Exception], text: str) -> None:
    for mode in ("w", "w:gz"):
        with pytest.raises(error, match=text):
            content = read(draft, tar(*entries, mode=mode))
            content.strip(100)


@pytest.mark.parametrize(
    ("entries", "error"),
    [
        ([("/etc/passwd", b"", 0)], UnsafePaths),
        ([("a/../../b", b"", 0)], UnsafePaths),
        ([("a\\..\\b", b"", 0)], UnsafePaths),
        ([("C:/x", b"", 0)], UnsafePaths),
        ([("l", b"/etc", stat.S_IFLNK | 0o777)], AbsoluteLinks),
        ([("l", b"..", stat.S_IFLNK | 0o777)], LinksOutside),
        ([("l", b"x" * 5000, stat.S_IFLNK | 0o777)], LinksOutside),
        ([("d", b"", stat.S_IFCHR | 0o666)], SpecialFiles),
        ([("s", b"", stat.S_IFREG | 0o4755)], SpecialFiles),
        ([("a", b"", 0), ("./a", b"", 0)], Duplicates),
        ([("b", b"\0" * (MB + 1), 0)], ArchiveTooLarge),
        ([(str(i), b"", 0) for i in range(101)], TooManyEntries),
    ],
)
def test_what_a_zip_must_not_have(
    draft: Draft, entries: list[tuple[str, bytes, int]], error: type[Exception]
) -> None:
    with pytest.raises(error):
        read(draft, zipped(*entries), "zip").strip(1)


def test_a_link_that_leaves_only_what_remains_without_the_common_folder(draft: Draft) -> None:
    content = read(draft, tar({"name": "top/a"}, link("top/l", "../a")))
    with pytest.raises(LinksOutside):
        content.strip(100)


@pytest.mark.parametrize(
    ("links", "fine"),
    [
        ({"a/b/l": "../../c"}, True),
        ({"a/b/l": "../../../c"}, False),
        ({"l": "."}, True),
        ({"up/down/l": "..", "x": "up/down/l/../y"}, True),
        # By its words alone it stays inside; through the other link it does not.
        ({"up/down/l": "..", "x": "up/down/l/../../y"}, False),
        ({"a": "b", "b": "a"}, False),
        ({"a": "b/c", "b": "d/../.."}, False),
    ],
)
def test_links_are_followed_through_each_other(links: dict[str, str], fine: bool) -> None:
    if fine:
        check_links(links)
    else:
        with pytest.raises(LinksOutside):
            check_links(links)


def test_a_bomb_is_refused_before_it_is_unpacked(draft: Draft) -> None:
    info = tarfile.TarInfo("zeros")
    info.size = 1 << 40
    output = io.BytesIO()
    with gzip.GzipFile(fileobj=output, mode="wb", compresslevel=1) as file:
        file.write(info.tobuf())
        for _ in range(64):
            file.write(bytes(MB))
    with pytest.raises(ArchiveTooLarge):
        read(draft, output.getvalue(), "tar.gz")


def test_a_bomb_in_headers_uses_no_memory(draft: Draft) -> None:
    """A long name of 1 GB, an endless row of attributes, an empty zip entry that unpacks to much more."""
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    attributes = tarfile.TarInfo("x")
    attributes.type, attributes.size = tarfile.XHDTYPE, 1024
    row = (attributes.tobuf() + b"11 a=bbbbb\n".ljust(1024, b"\0")) * 20_000
    tracemalloc.start()
    for data in (name.tobuf() + bytes(20 * MB), row):
        with pytest.raises(BrokenArchive):
            read(draft, gzip.compress(data, 1), "tar.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * MB


def test_a_zip_that_says_it_is_small(draft: Draft) -> None:
    data = bytearray(zipped(("a", bytes(4 * MB), 0)))
    # The central directory's word for the unpacked size, and the local header's.
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 10)
    data[22:26] = struct.pack("<I", 10)
    with pytest.raises(BrokenArchive):
        read(draft, bytes(data), "zip")


def test_a_zip_with_a_giant_directory(draft: Draft) -> None:
    end = zipfile.structEndArchive  # type: ignore[attr-defined]
    size = 100 * 512 + 2 * MB
    tail = struct.pack(end, b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, size, 0, 0)
    with pytest.raises(TooManyEntries):
        read(draft, bytes(size) + tail, "zip")


def test_an_encrypted_zip(draft: Draft) -> None:
    data = bytearray(zipped(("a", b"1", 0)))
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ArchiveRefused, match="encrypted"):
        read(draft, bytes(data), "zip")


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("data", [b"", b"x", b"garbage" * 1000, b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_archive(draft: Draft, kind: ArchiveType, data: bytes) -> None:
    with pytest.raises((BrokenArchive, NoFiles)):
        read(draft, data, kind)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_one_that_ends_early(draft: Draft, kind: ArchiveType) -> None:
    files = [{"name": str(i), "data": bytes(range(256)) * 8} for i in range(4)]
    whole = {
        "tar": tar(*files),
        "tar.gz": tar(*files, mode="w:gz"),
        "zip": zipped(*((str(i), bytes(range(256)) * 8, 0) for i in range(4))),
    }[kind]
    end = 4 * (512 + 2048) if kind == "tar" else len(whole)
    for size in range(0, end, 97):
        with pytest.raises(BrokenArchive):
            read(draft, whole[:size], kind)
    with pytest.raises(BrokenArchive, match=r"Nothing was changed\. Send a whole"):
        read(draft, whole[: end - 1], kind)


@given(noise=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=8), kind=st.sampled_from(["tar", "tar.gz", "zip"]))
@property_settings(deadline=None, max_examples=100)
def test_damage_is_refused_or_harmless(noise: list[tuple[int, int]], kind: ArchiveType, tmp_path_factory: pytest.TempPathFactory) -> None:
    data = bytearray(
        zipped(("a/b", b"1" * 300, 0o100644), ("c", b"2", 0o100755))
        if kind == "zip"
        else tar({"name": "a/b", "data": b"1" * 300}, link("c", "a/b"), mode="w:gz" if kind == "tar.gz" else "w")
    )
    for place, value in noise:
        data[place % len(data)] = value
    settings = Settings.from_environment({"PAAS_ROOT": str(tmp_path_factory.mktemp("r"))})
    for folder in (settings.run_dir, settings.repositories_dir):
        folder.mkdir()
    repository = Repository(settings, "a")
    repository.create("master")
    with drafted(repository) as draft:
        try:
            content = read(draft, bytes(data), kind)
            content.strip(100)
        except ArchiveRefused:
            return
        for path in content.files:
            assert path and not path.startswith("/") and ".." not in path.split("/")


@pytest.mark.parametrize(
    ("name", "path"), [("a", "a"), ("./a//b/", "a/b"), (".", ""), ("a..b/...", "a..b/..."), ("é/ü", "é/ü")]
)
def test_clean_paths(name: str, path: str) -> None:
    assert clean_path(name) == path


@pytest.mark.parametrize("text", ["", "tgz", "TAR", "tar.gz ", "tar.xz"])
def test_types(text: str) -> None:
    assert [parse_type(known) for known in ("tar", "tar.gz", "zip")] == ["tar", "tar.gz", "zip"]
    with pytest.raises(InvalidArchiveType, match=r"valid archive types include: tar, tar\.gz, zip"):
        parse_type(text)


def test_nothing_is_left_of_a_draft(draft: Draft, settings: Settings) -> None:
    folder: Path = draft.folder
    with pytest.raises(AbsolutePaths):
        read(draft, tar({"name": "a", "data": b"1" * 1000}, {"name": "/b"}))
    assert [path for path in settings.root.rglob("b") if path.is_file()] == [] and folder.exists()
