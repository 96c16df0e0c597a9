"""Fixtures for tests that drive the real program. `support/` has what they are made of."""

from __future__ import annotations

import contextlib
import gc
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import docker
import pytest
from support import doors, images
from support.doors import Door
from support.registry import Registry, bridge_address, running_registry
from support.repo import Repo
from support.server import Paas, Response, running_paas
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

OPENSSH = "[openssh-"  # in the id of a transcript that is played through the OpenSSH server

# A run that was started in the background inherits an ignored Ctrl-C, and so would the clients that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What all tests share need not be looked through again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def nothing_left_open() -> Iterator[None]:
    """A file or socket that a module left open is told with its own last test, and not with whichever innocent one runs when
    the collector comes by."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A client of the Docker Engine."""
    with contextlib.closing(docker.from_env()) as client:
        client.ping()
        yield client


@pytest.fixture(scope="session")
def image_names(engine: docker.DockerClient) -> dict[str, str]:
    """Tags of the test images by short name, built when missing."""
    images.ensure()
    return {recipe.name: recipe.tag for recipe in images.ALL}


@pytest.fixture(scope="module")
def paas() -> Iterator[Paas]:
    """A running paas, shared by the tests of a module. Its log is shown when one of them fails."""
    with running_paas() as server:
        yield server


@pytest.fixture(scope="module")
def openssh(paas: Paas) -> Iterator[Door]:
    """`paas` behind a private sshd."""
    with doors.openssh(paas) as door:
        yield door


@pytest.fixture(params=doors.NAMES)
def door(request: pytest.FixtureRequest, paas: Paas) -> Door:
    """Each way in over ssh, in turn."""
    if request.param == "embedded":
        return doors.embedded(paas)
    door: Door = request.getfixturevalue("openssh")
    return door


@pytest.fixture
def host(paas: Paas) -> Door:
    """The embedded SSH server, for tests to which the way in makes no difference."""
    return doors.embedded(paas)


@pytest.fixture(scope="module")
def registry(engine: docker.DockerClient) -> Iterator[Registry]:
    """A private registry with TLS and the user `ci`, shared by the tests of a module."""
    with running_registry(bridge_address(engine), {"ci": "correct-horse"}) as started:
        yield started


@pytest.fixture
def http_get(paas: Paas) -> Callable[..., Response]:
    """`http_get(app, path="/")`: what the router answers."""
    return paas.http_get


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """An empty git repository."""
    return Repo(tmp_path / "repo")


class ByServer(LoadScopeScheduling):
    """With `-n N`: a module stays whole, as its tests share a server; the transcripts have two, one a front door."""

    def _split_scope(self, nodeid: str) -> str:
        module, _, test = nodeid.partition("::")
        return f"{module} {OPENSSH in test}"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByServer:
    return ByServer(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the server's last lines to the report of a failed test."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            server = value.paas if isinstance(value, Door) else value
            if isinstance(server, Paas):
                report.sections.append(("paas serve", server.last_log()))
                break
    return report
