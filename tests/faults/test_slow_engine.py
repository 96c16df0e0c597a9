"""An engine that is slow, silent, rude or gone: nobody waits for ever, nobody else is kept waiting, and what was begun is
undone as soon as it answers again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from support import doors
from support.clients import Client, until
from support.doors import Door
from support.engine_proxy import EngineProxy, Trouble
from support.repo import Repo
from support.server import STUB, Paas, running_paas
from support.state import current_release, operations

WEB, STATIC, SHELL = "paas-test/web", "paas-test/static", "paas-test/shell"
# How long paas waits for an answer; far above what these need on a busy machine, which is a hundredth of it.
SECONDS = 4
# More than any command may take then: one answer that is waited for in vain, and doubts at each of the next.
BOUND_SECONDS = 50
SILENT = Trouble(hang=True)
NO_ENGINE_NEEDED = (
    ("apps:list",),
    ("config:get", "there", "KEPT"),
    ("config:set", "--no-restart", "other", "KEPT=yes"),
    ("releases", "there"),
    ("operations", "there"),
    ("domains:add", "other", "there.example.com"),
    ("domains:remove", "other", "there.example.com"),
    ("urls", "there"),
)
ENGINE_NEEDED = (
    ("ps:restart", "there"),
    ("ps:report", "there"),
    ("config:set", "there", "A=1"),
    ("run", "there", "/bin/busybox", "true"),
    ("enter", "there", "web", "/bin/busybox", "true"),
    ("logs", "there"),
    ("apps:destroy", "there", "--force"),
)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, image_names: dict[str, str]) -> Iterator[EngineProxy]:
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    assert address.startswith("unix://"), "these tests need an engine on a Unix socket"
    made = EngineProxy(tmp_path_factory.mktemp("p") / "s", Path(address.removeprefix("unix://")))
    yield made
    made.close()


@pytest.fixture(scope="module")
def paas(proxy: EngineProxy) -> Iterator[Paas]:
    """A server that reaches the engine through the proxy, with two apps that serve."""
    with running_paas(DOCKER_HOST=f"unix://{proxy.path}", PAAS_ENGINE_SECONDS=str(SECONDS)) as server:
        for app in ("there", "other"):
            server.command("apps:create", app).ok()
            server.command("checks:set", app, "wait-to-retire", "0").ok()
            server.command("config:set", "--no-restart", app, "KEPT=yes").ok()
            server.command("git:from-image", app, WEB).ok()
        yield server


@pytest.fixture(scope="module")
def host(paas: Paas) -> Door:
    return doors.embedded(paas)


@contextlib.contextmanager
def client(host: Door, *words: str) -> Iterator[Client]:
    """`ssh host WORDS`, beside the test."""
    begun = Client(host.ssh_command(*words), host.paas.env, None, subprocess.DEVNULL)
    try:
        yield begun
    finally:
        begun.close()


def as_it_should_be(paas: Paas, engine: docker.DockerClient, app: str, running: int = 1) -> None:
    """Nothing of the app is left but what serves."""
    labels = {"label": [f"paas.root={paas.root}", f"paas.app={app}"]}

    def containers() -> list[str]:
        return [item["State"] for item in engine.api.containers(all=True, filters=labels)]

    until(lambda: containers() == ["running"] * running, lambda: (containers(), operations(paas, app)[:3], paas.last_log()))
    assert {item["status"] for item in operations(paas, app)} <= {"succeeded", "failed", "cancelled"}
    assert paas.http_get(app).status == 200


def test_an_engine_that_is_silent(host: Door, proxy: EngineProxy, engine: docker.DockerClient) -> None:
    paas = host.paas
    before = current_release(paas, "there")
    with contextlib.ExitStack() as stack:
        stack.enter_context(proxy.having(SILENT))
        started = time.monotonic()
        waiting = {words: stack.enter_context(client(host, *words)) for words in ENGINE_NEEDED}
        # Nobody else is kept waiting meanwhile.
        for words in NO_ENGINE_NEEDED:
            host.ssh(*words, timeout=BOUND_SECONDS).ok()
        for app in ("there", "other"):
            assert paas.http_get(app).status == 200
        print(f"\n{len(NO_ENGINE_NEEDED)} commands that need no engine: {time.monotonic() - started:.1f} s")
        for words, command in waiting.items():
            code = command.process.wait(BOUND_SECONDS)
            said = [line for line in command.text.splitlines() if line.startswith(" !  ")]
            assert code == 1, (words, command.text)
            assert said and said[-1].startswith(f" !     The Docker Engine at unix://{proxy.path} does not answer (timed out)."), command.text
            assert "Traceback" not in command.text and "Internal error" not in command.text, command.text
        print(f"{len(waiting)} commands that need it, at the same time, have ended after {time.monotonic() - started:.1f} s")
    assert current_release(paas, "there") == before
    as_it_should_be(paas, engine, "there")
    paas.command("ps:restart", "there").ok()


# Where a deploy is when the engine falls silent: the request that it does not answer any more.
POINTS = {
    "create": r"POST .*/containers/create\?name=",
    "inspect": "GET .*/containers/[^/]*/json",
}


@pytest.mark.parametrize("point", POINTS)
def test_a_deploy_and_an_engine_that_falls_silent(
    host: Door, proxy: EngineProxy, engine: docker.DockerClient, point: str
) -> None:
    paas = host.paas
    before = current_release(paas, "there")
    with proxy.having(Trouble(request=POINTS[point], hang=True)), client(host, "ps:restart", "there") as waiting:
        waiting.says("-----> Deploying web")
        # Another app's routes are changed while this one waits.
        paas.command("domains:add", "other", "other.example.com", timeout=BOUND_SECONDS).ok()
        paas.command("domains:remove", "other", "other.example.com", timeout=BOUND_SECONDS).ok()
        assert waiting.process.wait(BOUND_SECONDS) == 1, waiting.text
        assert "does not answer" in waiting.text or "timed out" in waiting.text, waiting.text
    assert current_release(paas, "there") == before
    as_it_should_be(paas, engine, "there")
    paas.command("ps:restart", "there").ok()
    as_it_should_be(paas, engine, "there")


# Where a command waits, the words of the command, and what it says before.
WAITS = {
    "run": (r"POST .*/attach\?", ("run", "there", "/bin/busybox", "sleep", "1000"), ""),
    "logs": (r"GET .*/logs\?", ("logs", "there", "--tail"), ""),
    "create": (POINTS["create"], ("ps:restart", "there"), "-----> Deploying web"),
}


@pytest.mark.parametrize("name", WAITS)
def test_ctrl_c_while_the_engine_is_silent(
    paas: Paas, proxy: EngineProxy, engine: docker.DockerClient, name: str
) -> None:
    request, words, says = WAITS[name]
    with proxy.having(Trouble(request=request, hang=True)):
        waiting = Client([str(STUB), *words], paas.env, None, subprocess.DEVNULL)
        with contextlib.closing(waiting):
            waiting.says(says)
            until(lambda: proxy.met)
            with proxy.having(SILENT):
                began = time.monotonic()
                waiting.send(signal.SIGINT)
                assert waiting.process.wait(BOUND_SECONDS) == 128 + signal.SIGINT, waiting.text
                print(f"\n{name}: ended {time.monotonic() - began:.1f} s after Ctrl-C")
    as_it_should_be(paas, engine, "there")


def test_a_slow_engine(paas: Paas, proxy: EngineProxy, engine: docker.DockerClient) -> None:
    with proxy.having(Trouble(delay=SECONDS / 20)):
        paas.command("ps:restart", "there").ok()
    as_it_should_be(paas, engine, "there")


def test_an_engine_that_is_rude(paas: Paas, proxy: EngineProxy, engine: docker.DockerClient) -> None:
    before = current_release(paas, "there")
    for trouble, words in (
        (Trouble(request="containers/create", fail=True), "out of sorts"),
        (Trouble(request=r"containers/create\?name=", cut=True), "does not answer"),
    ):
        with proxy.having(trouble):
            refused = paas.command("ps:restart", "there")
        assert refused.code == 1 and words in refused.err, refused
        assert "Traceback" not in refused.err and refused.err.splitlines()[-1].startswith(" !     "), refused
        assert current_release(paas, "there") == before
        as_it_should_be(paas, engine, "there")
    paas.command("ps:restart", "there").ok()


BUILDS = {
    "cut": Trouble(request=r"POST .*/(build|session|grpc)", bytes=600, cut=True),
    "silent": SILENT,
}


@pytest.mark.parametrize("how", BUILDS)
def test_a_build(host: Door, proxy: EngineProxy, engine: docker.DockerClient, repo: Repo, how: str) -> None:
    paas = host.paas
    repo.write({"Dockerfile": f"FROM {SHELL}\nRUN echo begun {how} && sleep 4\n", "how": how})
    repo.commit()
    before = current_release(paas, "there")
    words = ["git", "push", "--force", host.remote("there"), "main:master"]
    with contextlib.ExitStack() as stack:
        if how == "cut":
            stack.enter_context(proxy.having(BUILDS[how]))
        pushing = Client(words, host.git_env(), repo.path, subprocess.DEVNULL)
        stack.callback(pushing.close)
        pushing.says("remote: -----> Building there")
        if how == "silent":
            pushing.says(f"begun {how}")
            stack.enter_context(proxy.having(BUILDS[how]))
        assert pushing.process.wait(BOUND_SECONDS) == 1, pushing.text
        assert "Traceback" not in pushing.text and "remote:  !     " in pushing.text, pushing.text
        print(f"\n{[line for line in pushing.text.splitlines() if ' !  ' in line]}")
    assert current_release(paas, "there") == before
    as_it_should_be(paas, engine, "there")
    assert repo.push(host.remote("there"), "main:master", host.git_env(), "--force").code == 0


def test_an_engine_that_refuses_and_comes_back(paas: Paas, proxy: EngineProxy, engine: docker.DockerClient) -> None:
    proxy.refuse()
    refused = paas.command("ps:restart", "there")
    assert refused.code == 1 and "does not answer (" in refused.err, refused
    assert paas.http_get("there").status == 200
    proxy.open()
    paas.command("ps:restart", "there").ok()
    # The agent is back too.
    as_it_should_be(paas, engine, "there")
