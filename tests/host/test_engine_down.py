"""The Docker Engine goes away under a running paas: what needs it says so on one line, the rest goes on."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from support.clients import until
from support.doors import Door
from support.repo import Repo
from support.server import Paas, running_paas
from support.state import State, difference, state_of

WEB = "paas-test/web"
Way = Callable[[Path], contextlib.AbstractContextManager[None]]
NEED_ENGINE = (
    ("git:from-image", "down", "paas-test/static"),
    ("deploy", "--app", "down", "--docker-image", "paas-test/static", "A=1"),
    ("config:set", "down", "A=1"),
    ("ps:restart", "down"),
    ("ps:rebuild", "down"),
    ("ps:scale", "down", "web=2"),
    ("ps:stop", "down"),
    ("ps:report", "down"),
    ("releases:rollback", "down", "1"),
    ("run", "down", "/bin/busybox", "true"),
    ("enter", "down", "web", "/bin/busybox", "true"),
    ("apps:destroy", "down", "--force"),
)
DO_WITHOUT = (
    ("apps:list",),
    ("apps:exists", "down"),
    ("config:get", "down", "KEPT"),
    ("config:show", "down"),
    ("config:set", "--no-restart", "down", "KEPT=yes"),
    ("releases", "down"),
    ("operations", "down"),
    ("ps:scale", "down"),
    ("urls", "down"),
    ("git:report", "down"),
    ("ssh-keys:list",),
    ("help",),
    ("version",),
)


@pytest.fixture(scope="module")
def engine_socket() -> Path:
    """Where the engine really listens."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    assert address.startswith("unix://"), "these tests need an engine on a Unix socket"
    return Path(address.removeprefix("unix://"))


@pytest.fixture(scope="module")
def paas(engine_socket: Path, image_names: dict[str, str]) -> Iterator[Paas]:
    """A server whose DOCKER_HOST can be taken away, with an app that serves."""
    with running_paas() as server:
        server.stop()
        link = server.root.with_name("engine.sock")
        link.symlink_to(engine_socket)
        server.env["DOCKER_HOST"] = f"unix://{link}"
        server.start()
        server.command("apps:create", "down").ok()
        server.command("config:set", "down", "KEPT=yes").ok()
        server.command("git:from-image", "down", image_names["web"]).ok()
        yield server


@contextlib.contextmanager
def no_socket(path: Path) -> Iterator[None]:
    """Nothing is there."""
    yield


@contextlib.contextmanager
def hanging_up(path: Path) -> Iterator[None]:
    """Somebody accepts and hangs up."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                listener.accept()[0].close()

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            path.unlink()


WAYS = [no_socket, hanging_up]


@contextlib.contextmanager
def taken_away(paas: Paas, engine_socket: Path, way: Way) -> Iterator[None]:
    """A block without the engine."""
    link = paas.root.with_name("engine.sock")
    link.unlink()
    try:
        with way(link):
            yield
    finally:
        link.symlink_to(engine_socket)


# Before the others: they leave the engine away until the next of their kind.
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_when_it_is_back_everything_works(host: Door, engine_socket: Path, way: Way) -> None:
    app = way.__name__.replace("_", "-")
    host.ssh("apps:create", app).ok()
    with taken_away(host.paas, engine_socket, way):
        assert host.ssh("git:from-image", app, WEB).code == 1
    host.ssh("git:from-image", app, WEB).ok()
    assert host.paas.http_get(app).status == 200
    # The agent listens again too: it notices a process that ends.
    container = host.ssh("ps:report", app).ok().partition("(CID: ")[2].partition(")")[0]
    subprocess.run(["docker", "kill", container], check=True, capture_output=True)
    until(lambda: f"running (CID: {container})" in host.ssh("ps:report", app).ok())
    until(lambda: host.paas.http_get(app).status == 200)


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: way.__name__)
def down(
    request: pytest.FixtureRequest, paas: Paas, engine: docker.DockerClient, engine_socket: Path
) -> Iterator[State]:
    """The engine away, and the state of the app when it went."""
    before = state_of(paas, engine, "down")
    with taken_away(paas, engine_socket, request.param):
        yield before


@pytest.mark.parametrize("words", NEED_ENGINE, ids=lambda words: " ".join(words[:2]))
def test_what_needs_the_engine_says_what_to_do(
    down: State, host: Door, engine: docker.DockerClient, words: tuple[str, ...]
) -> None:
    result = host.ssh(*words)
    assert result.code == 1
    assert result.err.count("\n") == 1, result.err
    assert result.err.startswith(f" !     The Docker Engine at {host.paas.env['DOCKER_HOST']} does not answer (")
    assert re.search(r"\((no such file or directory|connection aborted)\)\. Nothing was changed\. Start it", result.err)
    assert result.err.endswith(" Start it (systemctl start docker), then send the command again\n")
    assert difference(down, state_of(host.paas, engine, "down")) == {}
    assert host.ssh("config:show", "down", "--format", "json").ok() == '{"KEPT":"yes"}\n'


@pytest.mark.usefixtures("down")
@pytest.mark.parametrize("words", DO_WITHOUT, ids=lambda words: words[0])
def test_what_does_not_need_the_engine_works(host: Door, words: tuple[str, ...]) -> None:
    result = host.ssh(*words)
    assert (result.code, result.err) == (0, "")


def test_a_push_is_refused(down: State, host: Door, repo: Repo, engine: docker.DockerClient) -> None:
    repo.write({"Dockerfile": f"FROM {WEB}\n"})
    repo.commit()
    refused = repo.push(host.remote("down"), "main:master", host.git_env(), "--force")
    assert refused.code == 1
    assert "remote:  !     The Docker Engine at " in refused.err
    assert "pre-receive hook declined" in refused.err
    assert difference(down, state_of(host.paas, engine, "down")) == {}


def test_an_archive_is_refused(down: State, host: Door, engine: docker.DockerClient) -> None:
    refused = host.ssh("git:load-image", "down", WEB, input=b"x" * 1_000_000)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert refused.err.startswith(" !     The Docker Engine at ")
    assert difference(down, state_of(host.paas, engine, "down")) == {}


def test_it_serves_on_and_logs_say_so(down: State, host: Door) -> None:
    assert host.paas.http_get("down").body == down.body
    logs = host.ssh("logs", "down")
    assert (logs.code, logs.out, logs.err.count("\n")) == (1, "", 1)
