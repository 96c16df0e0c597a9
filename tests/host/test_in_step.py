"""After a restart of a container, of HAProxy, of paas or of Docker the router is right again, with no command typed, and
no request ever comes to another app, whatever addresses were handed out anew."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from support.clients import until
from support.in_step import check_in_step
from support.private_engine import private_engine
from support.server import Paas, running_paas

from paas.router import binary
from paas.settings import Settings

APPS = ("a", "b")
WEB = "paas-test/web"


class Watch:
    """Asks for both apps all the time, and remembers every answer that came from another one."""

    def __init__(self, paas: Paas) -> None:
        self.paas = paas
        self.wrong: list[str] = []
        self.answers = 0
        self.over = threading.Event()

    def ask(self) -> None:
        while not self.over.wait(0.005):
            for app in APPS:
                with contextlib.suppress(OSError):
                    answer = self.paas.http_get(app)
                    if answer.status == 200:
                        self.answers += 1
                        if f"<h1>{app} " not in answer.body:
                            self.wrong.append(f"{app}: {answer.body}")


@contextlib.contextmanager
def watched(paas: Paas, inside: Callable[[Callable[[], None]], None] = lambda do: do()) -> Iterator[Watch]:
    watch = Watch(paas)
    thread = threading.Thread(target=inside, args=(watch.ask,))
    thread.start()
    try:
        yield watch
    finally:
        watch.over.set()
        thread.join()
    assert watch.wrong == []
    assert watch.answers


def deploy(paas: Paas, network: str = "") -> None:
    """Both apps; with a network, on one where the engine chooses the addresses."""
    for app in APPS:
        paas.command("apps:create", app).ok()
        paas.command("config:set", "--no-restart", app, f"GREETING={app}").ok()
        if network:
            paas.command("network:set", app, "initial-network", network).ok()
            # Started by hand only, so that the order is the test's.
            paas.command("docker-options:add", app, "deploy", "--restart=no").ok()
        paas.command("git:from-image", app, WEB).ok()


def container(paas: Paas, engine: docker.DockerClient, app: str) -> str:
    labels = {"label": [f"paas.root={paas.root}", f"paas.app={app}"]}
    return str(engine.api.containers(all=True, filters=labels)[0]["Id"])


def address(engine: docker.DockerClient, name: str) -> str:
    networks = engine.api.inspect_container(name)["NetworkSettings"]["Networks"]
    return str(next(iter(networks.values()))["IPAddress"])


def right(paas: Paas) -> bool:
    """Whether both apps answer, each for itself."""
    with contextlib.suppress(OSError):
        return all(f"<h1>{app} " in paas.http_get(app).body for app in APPS)
    return False


def settle(paas: Paas) -> None:
    """Wait until the router is right, and all that it is told is what the database says."""
    until(lambda: right(paas))
    check_in_step(paas)


@pytest.fixture
def chosen_by_engine(paas: Paas) -> Iterator[None]:
    """Both apps on a network where a container may get the address that another one had."""
    name = f"{paas.root.parent.name}-shared"
    paas.command("network:create", name).ok()
    deploy(paas, name)
    yield
    for app in APPS:
        paas.command("apps:destroy", app, "--force").ok()
    paas.command("network:destroy", name, "--force").ok()


@pytest.fixture
def apps(paas: Paas) -> Iterator[None]:
    deploy(paas)
    yield
    for app in APPS:
        paas.command("apps:destroy", app, "--force").ok()


def swap(engine: docker.DockerClient, first: str, second: str) -> None:
    """Stop both, and start them in the other order."""
    for name in (first, second):
        engine.api.kill(name)
        until(lambda name=name: not engine.api.inspect_container(name)["State"]["Running"])  # type: ignore[misc]
    for name in (second, first):
        engine.api.start(name)


@pytest.mark.usefixtures("apps", "image_names")
def test_containers_keep_their_addresses(paas: Paas, engine: docker.DockerClient) -> None:
    names = [container(paas, engine, app) for app in APPS]
    before = [address(engine, name) for name in names]
    with watched(paas):
        engine.api.restart(names[0], timeout=0)
        settle(paas)
        swap(engine, *names)
        settle(paas)
    assert [address(engine, name) for name in names] == before


@pytest.mark.usefixtures("chosen_by_engine", "image_names")
def test_containers_swap_their_addresses(paas: Paas, engine: docker.DockerClient) -> None:
    names = [container(paas, engine, app) for app in APPS]
    before = [address(engine, name) for name in names]
    with watched(paas):
        swap(engine, *names)
        settle(paas)
    assert [address(engine, name) for name in names] == before[::-1]


@pytest.mark.usefixtures("chosen_by_engine", "image_names")
def test_haproxy_is_killed_while_containers_move(paas: Paas, engine: docker.DockerClient) -> None:
    with watched(paas):
        for number in (signal.SIGKILL, signal.SIGTERM):
            for process in haproxies(paas):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)
            for app in APPS:
                engine.api.restart(container(paas, engine, app), timeout=0)
            until(lambda: haproxies(paas))
            settle(paas)


@pytest.mark.usefixtures("image_names")
def test_paas_is_killed_and_containers_are_restarted_meanwhile(engine: docker.DockerClient) -> None:
    with running_paas(PAAS_ROUTER="external") as paas, own_haproxy(paas):
        deploy(paas)
        names = [container(paas, engine, app) for app in APPS]
        with watched(paas):
            until(lambda: right(paas))
            paas.stop(signal.SIGKILL)
            swap(engine, *names)
            # With nobody there to tell the router anything.
            until(lambda: right(paas))
            paas.start()
            settle(paas)


@pytest.mark.usefixtures("image_names")
def test_docker_is_killed_and_restarted() -> None:
    with (
        private_engine([WEB]) as engine,
        running_paas(engine.within, DOCKER_HOST=engine.host) as paas,
    ):
        deploy(paas)
        with watched(paas, engine.inside):
            for number in (signal.SIGKILL, signal.SIGTERM):
                until(lambda: engine.inside(lambda: right(paas)))
                engine.stop(number)
                engine.start()
                answered = time.monotonic()
                engine.inside(lambda: settle(paas))
                print(f"\nright {time.monotonic() - answered:.2f} s after Docker answered ({number.name})")


@pytest.mark.usefixtures("image_names")
def test_haproxy_starts_with_what_it_read_long_ago(engine: docker.DockerClient) -> None:
    with running_paas(PAAS_ROUTER="external") as paas:
        files = [paas.root / "router" / name for name in ("haproxy.cfg", "domains.map")]
        with own_haproxy(paas):
            deploy(paas)
            settle(paas)
        old = [path.read_text() for path in files]
        for app in APPS:
            paas.command("checks:set", app, "wait-to-retire", "0").ok()
            paas.command("ps:restart", app).ok()
        for path, text in zip(files, old, strict=True):
            path.write_text(text)
        with own_haproxy(paas):
            settle(paas)


@contextlib.contextmanager
def own_haproxy(paas: Paas) -> Iterator[None]:
    """HAProxy as a service beside paas, as on an installed machine."""
    settings = Settings.from_environment(paas.env)
    until(lambda: (settings.router_dir / "haproxy.cfg").exists())
    with subprocess.Popen(binary.command(settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def haproxies(paas: Paas) -> list[int]:
    """The process ids of HAProxy's master and workers."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"haproxy") and str(paas.root / "router").encode() in words:
                    found.append(int(entry.name))
    return found


