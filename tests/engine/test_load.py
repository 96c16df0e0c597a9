"""Loading `docker image save` archives: whole ones, broken ones, and without holding them in memory."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest
from docker import APIClient
from support.archives import tar_of

from paas.console import Console
from paas.deploy.session import Session
from paas.deploy.source import NameIsOurs
from paas.deploy.sources.load import NameIsTaken, loaded
from paas.engine.images import FileTooBig, Image, Images, LoadFailed
from paas.errors import PaasError
from paas.model.access import Reach, Role
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
    return images.load([data], console)


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


def test_a_tar_archive_that_holds_no_image(images: Images, console: Console) -> None:
    for files in ({"README": b"x"}, {"manifest.json": b"no json"}):
        with pytest.raises(LoadFailed) as caught:
            load(images, console, tar_of(files))
        assert len(caught.value.lines) == 1
    assert load(images, console, tar_of({"manifest.json": b"[]"})) == []


def bring(session: Session, name: str, data: bytes) -> Image:
    """Load as git:load-image does, and deploy nothing."""
    with loaded(session, ImageRef.parse(name), io.BytesIO(data), 1) as image:
        return image


def unpacked(data: bytes) -> dict[str, bytes]:
    """The files of an archive; links as what they lead to."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        opened = {item.name: archive.extractfile(item) for item in archive if not item.isdir()}
        return {name: file.read() for name, file in opened.items() if file}


def rewritten(data: bytes, change: Callable[[dict[str, Any]], dict[str, Any]]) -> bytes:
    """The archive with another item in manifest.json."""
    files = unpacked(data)
    [item] = json.loads(files["manifest.json"])
    return tar_of(files | {"manifest.json": json.dumps([change(item)]).encode()})


@pytest.fixture
def named(images: Images, build: Build, busybox: str) -> Iterator[str]:
    """An image that nobody else has, under a name as users give them."""
    name = build(f"FROM {busybox}\nLABEL for={uuid.uuid4()}\n")
    image = images.find(name)
    assert image is not None
    other = f"paas-test-load-{os.getpid()}:1"
    images.tag(image.id, other)
    images.untag(name)
    yield other
    images.untag(other)


@pytest.fixture
def saved(api: APIClient, named: str) -> bytes:
    return b"".join(api.get_image(named))


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
        bring(session, "elsewhere:1", archive)
    assert len(caught.value.lines) == 1
    assert our_names() == before and before[name] == now.id


def test_a_name_that_was_not_there_before_goes_again(
    session: Session, images: Images, our_names: Names, name: str, archive: bytes
) -> None:
    images.untag(name)
    before = our_names()
    with pytest.raises(PaasError, match="was not found: elsewhere:1"):
        bring(session, "elsewhere:1", archive)
    assert our_names() == before


def test_the_named_image_is_told_as_docker_tells_it(
    session: Session, images: Images, named: str, saved: bytes, printed: Callable[[], str], our_names: Names
) -> None:
    image, before = images.find(named), our_names()
    assert image is not None
    assert bring(session, named, saved).id == image.id
    assert printed() == f"Loaded image: {named}\n"
    assert bring(session, image.id, saved).id == image.id
    assert printed().endswith(f"Loaded image ID: {image.id}\n")
    assert images.find(named) == image and our_names() == before


def limited(session: Session) -> Session:
    """A session of a key that is no administrator's."""
    session.reach = Reach({}, Role.DEPLOY)
    return session


def test_a_key_with_a_role_gets_no_name_that_somebody_else_has(
    session: Session, images: Images, build: Build, busybox: str, named: str, saved: bytes, our_names: Names
) -> None:
    """Attack: an archive whose image is called like the one that other apps are built on."""
    mine, base = images.find(named), images.find(build(f"FROM {busybox}\nLABEL the=base\n"))
    assert mine is not None and base is not None
    images.tag(base.id, named)
    before = our_names()
    with pytest.raises(NameIsTaken) as caught:
        bring(limited(session), named, saved)
    assert len(caught.value.lines) == 1
    assert our_names() == before
    now = images.find(named)
    assert now is not None and now.id == base.id
    assert images.find(mine.id) is None, "what was loaded is not left behind"


def test_a_key_with_a_role_leaves_no_new_name_behind(session: Session, images: Images, named: str, saved: bytes) -> None:
    images.untag(named)
    with loaded(limited(session), ImageRef.parse(named), io.BytesIO(saved), 1) as image:
        now = images.find(named)
        assert now is not None and now.id == image.id
        images.tag(image.id, "paas-test-kept:1")
    assert images.find(named) is None
    kept = images.find("paas-test-kept:1")
    assert kept is not None and kept.id == image.id
    images.untag("paas-test-kept:1")


@pytest.mark.parametrize("wanted", ["paas-0123abcd/other:5", "docker.io/paas-0123abcd/other"])
def test_no_archive_brings_the_name_of_a_release(session: Session, saved: bytes, wanted: str) -> None:
    """Attack: another app's next start would take this image."""
    with pytest.raises(NameIsOurs) as caught:
        bring(session, wanted, saved)
    assert len(caught.value.lines) == 1


def test_names_in_the_archive_do_not_count(
    session: Session, images: Images, named: str, saved: bytes, settings: Settings, build: Build, busybox: str, our_names: Names
) -> None:
    """Attack: beside the image that is asked for, the archive names another app's release."""
    victim = build(f"FROM {busybox}\nLABEL a=victim\n")
    before = our_names()
    evil = rewritten(saved, lambda item: item | {"RepoTags": [victim, named], "repotags": [victim]})
    bring(session, named, evil)
    assert our_names() == before


CRAFTED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "a-config-that-is-not-there": lambda item: item | {"Config": "nowhere.json"},
    "a-config-that-is-a-layer": lambda item: item | {"Config": item["Layers"][0]},
    "a-layer-too-few": lambda item: item | {"Layers": item["Layers"][1:]},
    "a-layer-too-many": lambda item: item | {"Layers": item["Layers"] * 2},
    "layers-elsewhere": lambda item: item | {"Layers": ["../../../etc/shadow"]},
    "no-layers": lambda item: item | {"Layers": None},
}


@pytest.mark.parametrize("craft", CRAFTED)
def test_crafted_lists_are_refused_in_one_line(
    session: Session, named: str, saved: bytes, our_names: Names, api: APIClient, craft: str
) -> None:
    before = our_names()
    with pytest.raises(LoadFailed) as caught:
        bring(session, named, rewritten(saved, CRAFTED[craft]))
    [line] = caught.value.lines
    assert "Nothing was changed" in line and len(line) < 400
    assert our_names() == before
    api.ping()


def with_layer(saved: bytes, *entries: tarfile.TarInfo) -> bytes:
    """The archive with one more layer, which has these entries."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    data = layer.getvalue()
    files = unpacked(saved)
    [item] = json.loads(files["manifest.json"])
    config = json.loads(files.pop(item["Config"]))
    config["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(data).hexdigest()}")
    config.pop("history", None)
    text = json.dumps(config).encode()
    files |= {"more/layer.tar": data, f"{hashlib.sha256(text).hexdigest()}.json": text}
    item |= {"Config": f"{hashlib.sha256(text).hexdigest()}.json", "Layers": [*item["Layers"], "more/layer.tar"]}
    return tar_of(files | {"manifest.json": json.dumps([item]).encode()})


def test_layers_do_not_reach_out(session: Session, images: Images, named: str, saved: bytes, tmp_path: Path) -> None:
    """Attack: layers whose entries climb out of the image, or follow a link out of it."""
    target = tmp_path / "target"
    target.mkdir()
    for name, link in ((f"../../../../../../../..{target}/climbed", ""), ("out", str(target)), ("hard", "/etc/hostname")):
        entry = tarfile.TarInfo(name)
        entries = [entry]
        if link:
            entry.type, entry.linkname = (tarfile.LNKTYPE if name == "hard" else tarfile.SYMTYPE), link
            entries.append(tarfile.TarInfo(f"{name}/followed"))
        with contextlib.suppress(LoadFailed):
            bring(session, named, with_layer(saved, *entries))
        assert list(target.iterdir()) == []


def test_a_link_in_the_place_of_a_manifest_is_not_followed(
    session: Session, images: Images, named: str, saved: bytes, labels: dict[str, str]
) -> None:
    """Attack: Procfile and the others as links, devices, folders, giants."""
    link, device, folder, fifo = (tarfile.TarInfo(f"app/{name}") for name in ("Procfile", "disk", "app.json", "pipe"))
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
    device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 5
    folder.type, fifo.type = tarfile.DIRTYPE, tarfile.FIFOTYPE
    hard, plain = tarfile.TarInfo("app/hard"), tarfile.TarInfo("app/plain")
    plain.size, hard.type, hard.linkname = 5, tarfile.LNKTYPE, "app/plain"
    giant = tarfile.TarInfo("app/giant")
    giant.size = 2 << 20
    image = bring(session, named, with_layer(saved, plain, link, device, folder, fifo, hard, giant))
    paths = [f"/app/{name}" for name in ("Procfile", "disk", "app.json", "pipe", "hard", "plain", "none")]
    assert images.read_files(image.id, [*paths, "/proc/1/environ", "/dev/zero"]) == {
        "/app/hard": bytes(5),
        "/app/plain": bytes(5),
    }
    with pytest.raises(FileTooBig):
        images.read_files(image.id, ["/app/giant"])


def test_reading_files_leaves_no_volume_behind(images: Images, build: Build, busybox: str, api: APIClient) -> None:
    image = images.find(build(f"FROM {busybox}\nVOLUME /data /more\n"))
    assert image is not None
    began = int(time.time())
    assert images.read_files(image.id, ["/data/x", "/www/index.html"]) == {"/www/index.html": b"hello\n"}
    told = list(api.events(since=began, until=int(time.time()) + 1, decode=True))
    made = {item["Actor"]["ID"] for item in told if item["Type"] == "container" and item["from"] == image.id}
    volumes = {item["Actor"]["ID"] for item in told if item["Actor"]["Attributes"].get("container") in made}
    assert len(volumes) == 2
    for volume in volumes:
        with pytest.raises(docker.errors.NotFound):
            api.inspect_volume(volume)


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
        "print(Images(api).load(iter(lambda: os.read(0, 1 << 20), b''), Console()))\n"
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
