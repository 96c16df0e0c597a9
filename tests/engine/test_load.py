"""Loading `docker image save` archives: whole ones, broken ones, and without holding them in memory."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from docker import APIClient

from paas.console import Console
from paas.deploy import pipeline
from paas.deploy.session import Session
from paas.engine.images import Images, LoadFailed
from paas.errors import PaasError
from paas.model.image import ImageRef
from paas.settings import Settings

Build = Callable[..., str]
Names = Callable[[], dict[str, str]]
LAYER_MB = 300
MAX_RSS_MB = 100


@pytest.fixture
def name(build: Build, busybox: str) -> str:
    return build(f"FROM {busybox}\nLABEL for=load\n")


@pytest.fixture
def archive(api: APIClient, name: str) -> bytes:
    return b"".join(api.get_image(name))


@pytest.fixture
def our_names(images: Images, settings: Settings) -> Callable[[], dict[str, str]]:
    """The engine's names of this installation's images; others may come and go meanwhile."""
    return lambda: {name: image for name, image in images.names().items() if settings.root_id in name}


def load(images: Images, console: Console, data: bytes) -> list[str]:
    return images.load(io.BytesIO(data), console)


def test_a_saved_image_comes_back(images: Images, console: Console, name: str, archive: bytes) -> None:
    image = images.find(name)
    images.untag(name)
    assert images.find(name) is None
    assert load(images, console, archive) == [name]
    assert images.find(name) == image


def test_an_archive_without_names_is_known_by_its_id(
    images: Images, console: Console, name: str, api: APIClient
) -> None:
    image = images.find(name)
    assert image is not None
    nameless = b"".join(api.get_image(image.id))
    images.untag(name)
    assert load(images, console, nameless) == [image.id]
    images.untag(image.id)


def test_two_names_in_one_archive(images: Images, console: Console, name: str) -> None:
    other = name.replace(":1", ":2")
    images.tag(name, other)
    both = subprocess.run(["docker", "image", "save", name, other], stdout=subprocess.PIPE, check=True).stdout
    assert sorted(load(images, console, both)) == [name, other]
    images.untag(other)


@pytest.mark.parametrize("kept", [0.0001, 0.01, 0.3, 0.7, 0.97])
def test_an_archive_that_ends_early(
    images: Images, console: Console, our_names: Names, name: str, archive: bytes, kept: float
) -> None:
    images.untag(name)
    before = our_names()
    with pytest.raises(LoadFailed) as caught:
        load(images, console, archive[: int(len(archive) * kept)])
    assert len(caught.value.lines) == 1 and "can't be loaded: it " in str(caught.value)
    assert our_names() == before


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"garbage" * 1000, b"\0" * 10240, b"x" * 50_000_000, b"\x1f\x8b" + b"x" * 1000],
    ids=["empty", "one-byte", "garbage", "zeros", "50-MB-of-garbage", "broken-gzip"],
)
def test_what_is_no_archive(images: Images, console: Console, our_names: Names, data: bytes) -> None:
    before = our_names()
    with pytest.raises(LoadFailed) as caught:
        load(images, console, data)
    assert len(caught.value.lines) == 1 and "docker image save" in str(caught.value)
    assert our_names() == before


def test_a_tar_archive_that_holds_no_image(
    images: Images, console: Console, tar_of: Callable[[dict[str, bytes]], bytes]
) -> None:
    for files in ({"README": b"x"}, {"manifest.json": b"no json"}):
        with pytest.raises(LoadFailed) as caught:
            load(images, console, tar_of(files))
        assert len(caught.value.lines) == 1
    assert load(images, console, tar_of({"manifest.json": b"[]"})) == []


def test_the_named_image_has_to_be_in_the_archive(
    session: Session, images: Images, build: Build, busybox: str, our_names: Names, name: str, archive: bytes
) -> None:
    """What the archive did to the engine's names is undone then."""
    saved = images.find(name)
    now = images.find(build(f"FROM {busybox}\nLABEL other=image\n"))
    assert saved is not None and now is not None
    images.tag(now.id, name)
    before = our_names()
    with pytest.raises(PaasError, match="the specified docker image was not found: elsewhere:1") as caught:
        pipeline._load(session, ImageRef.parse("elsewhere:1"), io.BytesIO(archive))
    assert len(caught.value.lines) == 1
    assert our_names() == before and before[name] == now.id


def test_a_name_that_was_not_there_before_goes_again(
    session: Session, images: Images, our_names: Names, name: str, archive: bytes
) -> None:
    images.untag(name)
    before = our_names()
    with pytest.raises(PaasError, match="was not found: elsewhere:1"):
        pipeline._load(session, ImageRef.parse("elsewhere:1"), io.BytesIO(archive))
    assert our_names() == before


def test_the_named_image_is_told_as_docker_tells_it(
    session: Session, images: Images, name: str, archive: bytes, printed: Callable[[], str]
) -> None:
    image = images.find(name)
    assert image is not None
    pipeline._load(session, ImageRef.parse(name), io.BytesIO(archive))
    assert printed() == f"Loaded image: {name}\n"
    pipeline._load(session, ImageRef.parse(image.id), io.BytesIO(archive))
    assert images.find(name) == image


def write_big_archive(path: Path, name: str, labels: dict[str, str]) -> None:
    """A `docker image save` archive with one layer that holds one big file."""
    layer = path.with_suffix(".layer")
    with layer.open("wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("big")
        entry.size = LAYER_MB * 1024 * 1024
        with open("/dev/zero", "rb") as zeros:  # noqa: PTH123
            archive.addfile(entry, zeros)
    with layer.open("rb") as file:
        diff_id = hashlib.file_digest(file, "sha256").hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": labels, "Cmd": ["/big"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as archive:
        for entry_name, data in (("config.json", config), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(entry_name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        archive.add(layer, "layer.tar")
    layer.unlink()


def test_a_big_image_is_never_held_in_memory(
    images: Images, settings: Settings, labels: dict[str, str], tmp_path: Path
) -> None:
    name = f"paas-{settings.root_id}/big:1"
    path = tmp_path / "big.tar"
    write_big_archive(path, name, labels)
    script = (
        "import os, re; from pathlib import Path; from paas.console import Console; from paas.engine.client import connect\n"
        "from paas.engine.images import Images\n"
        "api = connect(os.environ.get('DOCKER_HOST'))\n"
        "print(Images(api).load(open(0, 'rb', buffering=0, closefd=False), Console()))\n"
        # Not getrusage: its peak is inherited from this process.
        "print(int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1]) // 1024)\n"
    )
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as cat:
        said = subprocess.run(
            [sys.executable, "-c", script], stdin=cat.stdout, capture_output=True, text=True, check=True
        )
    *_, loaded, peak = said.stdout.splitlines()
    assert loaded == f"['{name}']"
    assert int(peak) < MAX_RSS_MB
    image = images.find(name)
    assert image is not None and image.size >= LAYER_MB * 1024 * 1024
    images.untag(name)
