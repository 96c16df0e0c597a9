"""A real Docker Engine, images of a few kilobytes on top of busybox, and an installation that is taken away again."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from docker import APIClient
from support.archives import tar_of
from support.engine import remove_everything_of, remove_tags_of
from support.images import BUSYBOX

from paas.console import Console
from paas.deploy.session import Session
from paas.engine.client import connect
from paas.engine.containers import LABEL_ROOT, Containers, ContainerSpec
from paas.engine.images import Images
from paas.model.caller import Caller
from paas.settings import Settings

BASE = """\
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir /www && echo hello > /www/index.html
EXPOSE 5000
CMD ["httpd", "-f", "-p", "5000", "-h", "/www"]
"""

Build = Callable[..., str]
Start = Callable[..., str]


@pytest.fixture(scope="session")
def settings(engine: docker.DockerClient) -> Iterator[Settings]:
    """An installation of its own; what it leaves in the engine and on disk is removed at the end."""
    base = Path(tempfile.mkdtemp(prefix="paas-test-", dir="/tmp"))
    where = {name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ}
    made = Settings.from_environment({"PAAS_ROOT": str(base / "root"), **where})
    made.run_dir.mkdir(parents=True)
    try:
        yield made
    finally:
        remove_everything_of(engine, lambda root: root == str(made.root))
        remove_tags_of(engine, made.root_id)
        shutil.rmtree(base)


@pytest.fixture(scope="session")
def api(settings: Settings) -> Iterator[APIClient]:
    with contextlib.closing(connect(settings.docker_host)) as client:
        yield client


@pytest.fixture
def images(api: APIClient) -> Images:
    return Images(api)


@pytest.fixture
def containers(api: APIClient) -> Containers:
    return Containers(api)


@pytest.fixture
def console() -> Console:
    """What was printed is `printed(console)`."""
    return Console(io.StringIO(), io.StringIO())


@pytest.fixture
def labels(settings: Settings) -> dict[str, str]:
    return {LABEL_ROOT: str(settings.root)}


@pytest.fixture
def session(settings: Settings, console: Console) -> Iterator[Session]:
    with contextlib.ExitStack() as stack:
        opened = Session(settings, Caller("admin", "host"), console)
        stack.callback(lambda: opened.api.close() if "api" in vars(opened) else None)
        stack.callback(lambda: opened.database.close())
        yield opened


@pytest.fixture(scope="session")
def build(api: APIClient, settings: Settings) -> Build:
    """`build("FROM …", name=b"file")`: the new image's name."""

    def build_image(dockerfile: str, **files: bytes) -> str:
        tag = f"paas-{settings.root_id}/test-{uuid.uuid4().hex[:8]}:1"
        context = tar_of({"Dockerfile": dockerfile.encode()} | files, mode=0o755)
        for event in api.build(
            fileobj=io.BytesIO(context),
            custom_context=True,
            tag=tag,
            rm=True,
            decode=True,
            labels={LABEL_ROOT: str(settings.root)},
        ):
            assert "error" not in event, event["error"]
        return tag

    return build_image


@pytest.fixture(scope="session")
def busybox(build: Build) -> str:
    """A small web server on port 5000 that has the usual commands."""
    return build(BASE, busybox=BUSYBOX.read_bytes())


@pytest.fixture
def create(containers: Containers, busybox: str, labels: dict[str, str]) -> Iterator[Start]:
    """`create("sleep", "9", image=…)`: the id of a new container that is not started yet."""
    made: list[str] = []

    def create_container(*command: str, image: str = busybox, network: str = "bridge") -> str:
        name = f"paas-test-{uuid.uuid4().hex[:12]}"
        made.append(containers.create(ContainerSpec(name, image, labels, {}, network, command or None)))
        return made[-1]

    yield create_container
    for container in made:
        containers.remove(container)


@pytest.fixture
def start(create: Start, containers: Containers) -> Start:
    """As `create`, and started."""

    def start_container(*command: str, image: str | None = None, network: str = "bridge") -> str:
        container = create(*command, network=network, **({"image": image} if image else {}))
        containers.start(container, "web.1")
        return container

    return start_container


@pytest.fixture
def printed(console: Console) -> Callable[[], str]:
    """What the session and its steps have printed so far, errors last."""
    return lambda: console.out.getvalue() + console.err.getvalue()  # type: ignore[attr-defined]
