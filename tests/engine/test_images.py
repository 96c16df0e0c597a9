"""Finding images and reading their files without running them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from docker import APIClient

from paas.console import Console
from paas.engine.images import Images
from paas.errors import PaasError
from paas.model.image import ImageRef

Build = Callable[..., str]


def test_an_image_is_found_by_name_and_id(images: Images, busybox: str) -> None:
    image = images.find(busybox)
    assert image is not None and busybox in image.tags
    for name in (image.id, image.id.removeprefix("sha256:"), image.id[7:19]):
        assert images.find(name) == image
    assert (image.command, image.entrypoint, image.on_build, image.health_test) == (
        ("httpd", "-f", "-p", "5000", "-h", "/www"), (), (), (),
    )  # fmt: skip
    assert image.lowest_port == 5000 and image.working_dir == "/"
    assert images.names()[busybox] == image.id


@pytest.mark.parametrize("name", ["paas-test-nope:1", "sha256:" + "0" * 64])
def test_what_is_not_there(images: Images, name: str) -> None:
    assert images.find(name) is None
    assert images.resolve(ImageRef.parse(name)) is None


def test_a_digest_may_be_the_id_of_an_image_that_was_never_in_a_registry(images: Images, busybox: str) -> None:
    image = images.find(busybox)
    assert image is not None
    repository = busybox.rpartition(":")[0]
    assert images.resolve(ImageRef.parse(f"{repository}@{image.id}")) == image
    assert images.resolve(ImageRef.parse(image.id)) == image
    assert images.resolve(ImageRef.parse(f"{repository}@sha256:{'0' * 64}")) is None


def test_what_a_dockerfile_says(images: Images, build: Build, busybox: str) -> None:
    name = build(
        f"FROM {busybox}\nWORKDIR /srv\nEXPOSE 9000 8080 53/udp\nENTRYPOINT [\"/bin/sh\"]\nCMD [\"-c\", \"x\"]\n"
        "HEALTHCHECK CMD wget -q -O /dev/null localhost\nONBUILD RUN true\n"
    )
    image = images.find(name)
    assert image is not None
    assert (image.entrypoint, image.command, image.on_build) == (("/bin/sh",), ("-c", "x"), ("RUN true",))
    assert image.health_test == ("/bin/sh", "-c", "wget -q -O /dev/null localhost")
    assert (image.working_dir, image.lowest_port) == ("/srv", 5000)
    words = images.find(build(f'FROM {busybox}\nHEALTHCHECK CMD ["test", "-e", "/ok"]\n'))
    assert words is not None and words.health_test == ("test", "-e", "/ok")
    none = images.find(build(f"FROM {name}\nHEALTHCHECK NONE\n"))
    assert none is not None and none.health_test == ()


def test_tags_come_and_go_and_the_image_with_the_last(images: Images, build: Build, busybox: str) -> None:
    name = build(f"FROM {busybox}\nLABEL only=here\n")
    image = images.find(name)
    assert image is not None
    other = name.replace(":1", ":other")
    images.tag(image.id, other)
    images.untag(name)
    images.untag(name)
    assert images.find(name) is None and images.find(other) is not None
    images.untag(other)
    assert images.find(image.id) is None


def test_a_name_that_a_container_uses_is_left(
    images: Images, build: Build, busybox: str, create: Callable[..., str]
) -> None:
    name = build(f"FROM {busybox}\nLABEL used=yes\n")
    create("true", image=name)
    images.untag(name)
    assert images.find(name) is not None




@pytest.fixture(scope="module")
def with_files(build: Build, busybox: str) -> str:
    return build(
        f"FROM {busybox}\nWORKDIR /app\nCOPY Procfile binary ./\nRUN mkdir folder && echo x > folder/inside"
        " && ln -s /etc/shadow link && ln Procfile hard && : > empty && mkfifo pipe\n",
        Procfile=b"web: x\n",
        binary=bytes(range(256)) * 100,
    )


def test_files_are_read_without_running_the_image(
    images: Images, with_files: str, api: APIClient, labels: dict[str, str]
) -> None:
    before = {item["Id"] for item in api.containers(all=True, filters={"ancestor": with_files})}
    image = images.find(with_files)
    assert image is not None
    paths = ["/app/Procfile", "/app/binary", "/app/missing", "/app/link", "/app/folder", "/nowhere/x", "/app/empty", "/app/pipe"]
    assert images.read_files(image.id, paths) == {
        "/app/Procfile": b"web: x\n",
        "/app/binary": bytes(range(256)) * 100,
        "/app/empty": b"",
    }
    assert {item["Id"] for item in api.containers(all=True, filters={"ancestor": with_files})} == before == set()


def test_files_of_an_image_without_a_command(images: Images, build: Build) -> None:
    name = build("FROM scratch\nCOPY Procfile /Procfile\n", Procfile=b"web: x")
    assert images.read_files(name, ["/Procfile", "/x"]) == {"/Procfile": b"web: x"}


def test_a_giant_file_is_refused_before_it_is_read(images: Images, build: Build, busybox: str) -> None:
    name = build(f"FROM {busybox}\nRUN dd if=/dev/zero of=/Procfile bs=1048577 count=1\n")
    with pytest.raises(PaasError, match="/Procfile") as caught:
        images.read_files(name, ["/Procfile"])
    assert len(caught.value.lines) == 1 and "1048577 bytes" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["127.0.0.1:1/app:1", "registry.invalid/org/app:1", f"127.0.0.1:1/app@sha256:{'0' * 64}", "sha256:" + "0" * 64]
)
def test_an_image_that_can_not_be_pulled_is_one_line(images: Images, console: Console, name: str) -> None:
    with pytest.raises(PaasError) as caught:
        images.pull(ImageRef.parse(name), console)
    assert len(caught.value.lines) == 1 and name in str(caught.value) and caught.value.exit_code == 1
    assert images.resolve(ImageRef.parse(name)) is None


@pytest.mark.parametrize("address", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1", "nonsense://x"])
def test_an_engine_that_does_not_answer(address: str) -> None:
    # In a process of its own: the library leaves a socket open when there is nobody at its other end.
    script = (
        "import sys; from paas.engine.client import connect; from paas.errors import EngineUnavailable\n"
        "try:\n    connect(sys.argv[1])\nexcept EngineUnavailable as error:\n    print(error)"
    )
    said = subprocess.run([sys.executable, "-c", script, address], capture_output=True, text=True, check=True)
    assert said.stdout.startswith(f"The Docker Engine at {address} does not answer (")
    assert said.stdout.count("\n") == 1 and "Nothing was changed" in said.stdout
