"""An image archive as it goes on to the engine: one image, under the name that we give it, and nothing that replaces it."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import pytest

from paas.deploy.sources import image_archive
from paas.deploy.sources.image_archive import ImageNotInArchive, only_image
from paas.engine.images import LoadFailed
from paas.errors import PaasError
from paas.model.image import ImageRef

OURS = "paas-00000000/loading/image:7"
CONFIG = "a" * 64
Entry = tuple[str, bytes | dict[str, Any]]


def tar(*entries: Entry, format: int = tarfile.GNU_FORMAT) -> bytes:
    """Files, or whatever the fields of a TarInfo make of an entry."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=format) as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            data = content if isinstance(content, bytes) else content.get("data", b"")
            info.size = len(data)
            for key, value in ({} if isinstance(content, bytes) else content).items():
                if key != "data":
                    setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return output.getvalue()


def listed(*items: dict[str, Any]) -> bytes:
    return json.dumps(items).encode()


def image(config: str = CONFIG, *tags: str) -> dict[str, Any]:
    return {"Config": f"{config}.json", "RepoTags": list(tags), "Layers": [f"{config}/layer.tar"]}


def files(manifest: bytes) -> tuple[Entry, ...]:
    return ((f"{CONFIG}.json", b"{}"), (f"{CONFIG}/layer.tar", b"layer"), ("manifest.json", manifest))


def through(data: bytes, wanted: str = "web:42") -> dict[str, bytes]:
    """What the engine gets, by name."""
    passed = b"".join(only_image(io.BytesIO(data), ImageRef.parse(wanted), OURS))
    found = {}
    with tarfile.open(fileobj=io.BytesIO(passed)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            found[member.name] = file.read() if file else b""
    return found


def manifest(data: bytes, wanted: str = "web:42") -> Any:
    return json.loads(through(data, wanted)["manifest.json"])


ONLY = [{"Config": f"{CONFIG}.json", "RepoTags": [OURS], "Layers": [f"{CONFIG}/layer.tar"]}]


@pytest.mark.parametrize(
    "tags",
    [
        ("web:42",),
        ("nginx:latest", "web:42", "paas-12345678/other:5"),
        ("docker.io/library/web:42",),
        ("in valid", "web:42"),
    ],
)
def test_other_names_do_not_reach_the_engine(tags: tuple[str, ...]) -> None:
    """Attack: an archive that also names another app's release, or the image that others are built on."""
    assert manifest(tar(*files(listed(image("b" * 64, "base:1"), image(CONFIG, *tags))))) == ONLY


def test_an_image_is_known_by_its_id_too() -> None:
    data = tar(*files(listed(image("b" * 64, "web:42"), image(CONFIG, "evil:1"))))
    for wanted in (f"sha256:{CONFIG}", CONFIG, f"web@sha256:{CONFIG}"):
        assert manifest(data, wanted) == ONLY


def test_what_an_engine_would_read_although_we_do_not() -> None:
    """Attack: Go takes keys in any case, and of two the last."""
    text = json.dumps([image(CONFIG, "web:42")])[:-2] + ', "repotags": ["evil:1"], "REPOTAGS": ["evil:2"], "Parent": "x"}]'
    assert manifest(tar(*files(text.encode()))) == ONLY


def test_the_list_for_old_engines_is_left_out() -> None:
    old = json.dumps({"evil": {"1": CONFIG}}).encode()
    assert "repositories" not in through(tar(*files(listed(image(CONFIG, "web:42"))), ("repositories", old)))


def test_the_newer_list_names_one_image_too() -> None:
    def item(name: str, digest: str) -> dict[str, Any]:
        notes = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": "1", "x": "y"}
        return {"mediaType": "m", "digest": f"sha256:{digest}", "size": 5, "annotations": notes, "urls": ["http://evil"]}

    index = {"schemaVersion": 2, "manifests": [item("docker.io/library/evil:1", "c" * 64), item("docker.io/library/web:42", "d" * 64)]}
    passed = through(tar(*files(listed(image(CONFIG, "web:42"))), ("index.json", json.dumps(index).encode())))
    assert json.loads(passed["index.json"])["manifests"] == [
        {
            "mediaType": "m",
            "digest": f"sha256:{'d' * 64}",
            "size": 5,
            "annotations": {"io.containerd.image.name": f"docker.io/{OURS}"},
        }
    ]


def test_everything_else_is_what_it_was() -> None:
    blob = bytes(range(256)) * 10_000
    link = {"type": tarfile.SYMTYPE, "linkname": "../blobs/layer"}
    entries = (("blobs", {"type": tarfile.DIRTYPE}), ("./blobs/layer", blob), ("x/layer.tar", link), ("long" * 60, b"l"))
    found = through(tar(*entries, *files(listed(image(CONFIG, "web:42"))), format=tarfile.PAX_FORMAT))
    assert found["blobs/layer"] == blob and "x/layer.tar" in found and found["long" * 60] == b"l"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
def test_compressed_archives(pack: Callable[[bytes], bytes]) -> None:
    data = tar(*files(listed(image(CONFIG, "web:42"))))
    assert manifest(pack(data)) == ONLY
    for part in (pack(data)[:-9], pack(data)[: len(pack(data)) // 2]):
        with pytest.raises(LoadFailed, match="it ends early or is no tar archive"):
            through(part)


def refused(data: bytes, wanted: str = "web:42") -> str:
    with pytest.raises(PaasError) as caught:
        through(data, wanted)
    [line] = caught.value.lines
    return line


GOOD = files(listed(image(CONFIG, "web:42")))
SYMLINK, HARDLINK = tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ((("../../x", b""), *GOOD), "parent directory"),
        ((("/etc/cron.d/x", b""), *GOOD), "absolute paths"),
        ((("layer", {"type": SYMLINK, "linkname": "/etc/shadow"}), *GOOD), "its link layer leads out of it"),
        ((("a/layer", {"type": SYMLINK, "linkname": "../../x"}), *GOOD), "its link a/layer leads out of it"),
        ((("manifest.json", {"type": SYMLINK, "linkname": "other"}),), "its link manifest.json"),
        ((("layer", {"type": HARDLINK, "linkname": "x"}), *GOOD), "layer is no file, folder or symbolic link"),
        ((("disk", {"type": tarfile.BLKTYPE, "devmajor": 8}), *GOOD), "disk is no file, folder or symbolic link"),
        ((("pipe", {"type": tarfile.FIFOTYPE}), *GOOD), "pipe is no file, folder or symbolic link"),
        ((*GOOD, ("manifest.json", listed(image(CONFIG, "web:42", "evil:1")))), "more than one entry for manifest.json"),
        ((*GOOD, ("./x//../manifest.json", b"[]")), "parent directory"),
        ((*GOOD, (f"./{CONFIG}.json", b"{}")), f"more than one entry for {CONFIG}.json"),
        ((("x", {"type": SYMLINK, "linkname": "."}), ("x/manifest.json", b"[]"), *GOOD), "x/manifest.json lies below what is no"),
        ((("x", b""), ("x/y", b""), *GOOD), "x/y lies below what is no folder"),
        ((("x", {"type": tarfile.DIRTYPE}), ("x", b""), *GOOD), "more than one entry for x"),
        ((("x", b""), ("x", {"type": tarfile.DIRTYPE}), *GOOD), "more than one entry for x"),
        (files(b"[" * 100_000), "its manifest.json can't be read"),
        (files(b'{"Config": 1}'), "its manifest.json can't be read"),
        (files(listed({"Config": 7, "RepoTags": ["web:42"], "Layers": []})), "its manifest.json can't be read"),
        (files(listed({"Config": "x", "RepoTags": ["web:42"], "Layers": [7]})), "its manifest.json can't be read"),
        (files(listed({"Config": "../../x", "RepoTags": ["web:42"], "Layers": []})), "parent directory"),
        (files(listed({"Config": "x", "RepoTags": ["web:42"], "Layers": ["/etc/shadow"]})), "absolute paths"),
        (files(listed({"Config": "x", "RepoTags": ["web:42"], "Layers": ["x"] * 1001})), "its manifest.json can't be read"),
        (files(listed(*[image()] * 1001)), "its manifest.json can't be read"),
        (files(b" " * (5 << 20)), "its manifest.json is larger than 4 MB"),
        (((f"{CONFIG}.json", b" " * (5 << 20)), *GOOD[1:]), "config of more than 4 MB"),
        ((*GOOD[1:], (f"{CONFIG}.json", b" " * (5 << 20))), "config of more than 4 MB"),
        (GOOD[:2], "it holds no image"),
        ((("README", b"x"),), "it holds no image"),
    ],
)
def test_what_is_refused(entries: tuple[Entry, ...], text: str) -> None:
    said = refused(tar(*entries))
    assert text in said and "Nothing was changed" in said


def test_a_sparse_file_and_a_giant_header() -> None:
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "manifest.json", "GNU.sparse.realsize": "1000000000000"}
    assert "can't be loaded" in refused(tar(("x", {"pax_headers": sparse}), *GOOD, format=tarfile.PAX_FORMAT))
    assert "it ends early or is no tar archive" in refused(
        tar(("x", {"pax_headers": {"comment": "c" * 100_000}}), *GOOD, format=tarfile.PAX_FORMAT)
    )


def test_an_extended_header_can_not_hide_a_list() -> None:
    """Attack: the plain header names a harmless file, the extended one manifest.json."""
    hidden = {"pax_headers": {"path": "manifest.json"}, "data": listed(image(CONFIG, "web:42", "evil:1"))}
    assert manifest(tar(*GOOD[:2], ("harmless", hidden), format=tarfile.PAX_FORMAT)) == ONLY


@pytest.mark.parametrize("wanted", ["web:43", "nginx", f"sha256:{'f' * 64}"])
def test_an_image_that_is_not_in_it(wanted: str) -> None:
    with pytest.raises(ImageNotInArchive):
        through(tar(*GOOD), wanted)


def test_zstd_is_told() -> None:
    assert "compressed with zstd" in refused(b"\x28\xb5\x2f\xfd" + b"x" * 100)


class Endless:
    """Compressed zeros without an end."""

    def __init__(self) -> None:
        self.packer = zlib.compressobj(9, wbits=31)
        info = tarfile.TarInfo("zeros")
        info.size = 1 << 40
        self.packed = self.packer.compress(info.tobuf(tarfile.GNU_FORMAT))

    def read(self, size: int) -> bytes:
        while len(self.packed) < size:
            self.packed += self.packer.compress(bytes(1 << 20))
        found, self.packed = self.packed[:size], self.packed[size:]
        return found


def test_a_bomb_goes_off_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: a megabyte that becomes a gigabyte of zeros on the engine's disk."""
    monkeypatch.setattr(image_archive, "FREE_BYTES", 8 << 20)
    bomb: Any = Endless()
    passed = 0
    with pytest.raises(LoadFailed, match=r"unpacks to more than 200 times its size"):
        for piece in only_image(bomb, ImageRef.parse("web:42"), OURS):
            passed += len(piece)
    # A piece may be what has come out of a megabyte.
    assert passed < 1 << 30


def test_thousands_of_entries() -> None:
    many = tar(*((f"{number}", b"") for number in range(image_archive.MAX_ENTRIES + 1)))
    assert "more than 10000 entries" in refused(many)


def test_little_is_kept_in_memory() -> None:
    class Big:
        """An archive with one file of 200 MB."""

        def __init__(self) -> None:
            info = tarfile.TarInfo("big")
            info.size = 200 << 20
            self.start = info.tobuf()
            self.left = info.size

        def read(self, size: int) -> bytes:
            if self.start:
                found, self.start = self.start, b""
                return found
            found = bytes(min(size, self.left))
            self.left -= len(found)
            return found

    big: BinaryIO = Big()  # type: ignore[assignment]
    tracemalloc.start()
    try:
        with pytest.raises(LoadFailed):
            for _ in only_image(big, ImageRef.parse("web:42"), OURS):
                pass
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
