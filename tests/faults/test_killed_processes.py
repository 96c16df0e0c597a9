"""kill -9 of everything of paas that lives long, and of HAProxy, while deploys and commands are under way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest
from support import doors
from support.clients import Client, until
from support.doors import Door
from support.gated import build, let_go
from support.processes import children
from support.repo import Repo
from support.server import STUB, Paas, run, running_paas
from support.state import containers, operations
from support.visitor import Visitor
from support.whole import command_processes, service, settled

WEB, SHELL = "paas-test/web", "paas-test/shell"
APP = "killed"
KILLED = "The command's process was killed"


@pytest.fixture(scope="module")
def gated(engine: docker.DockerClient, image_names: dict[str, str]) -> Iterator[str]:
    tag = build(f"paas-test-faults-{os.getpid()}/gated:latest")
    yield tag
    engine.api.remove_image(tag, force=True)


@pytest.fixture(scope="module")
def paas() -> Iterator[Paas]:
    with running_paas() as server:
        yield server


@pytest.fixture(scope="module")
def host(paas: Paas, image_names: dict[str, str]) -> Door:
    paas.command("apps:create", APP).ok()
    paas.command("checks:set", APP, "wait-to-retire", "0").ok()
    paas.command("git:from-image", APP, WEB).ok()
    return doors.embedded(paas)


@contextlib.contextmanager
def serving(paas: Paas) -> Iterator[None]:
    """The app serves throughout."""
    with Visitor(paas, APP) as visitor:
        yield
    assert visitor.failures == []
    assert visitor.asked


@contextlib.contextmanager
def begun(words: Sequence[str], paas: Paas, cwd: Path | None = None, env: dict[str, str] | None = None) -> Iterator[Client]:
    client = Client(words, env or paas.env, cwd, subprocess.DEVNULL)
    with contextlib.closing(client):
        yield client


@contextlib.contextmanager
def ended(what: str) -> Iterator[None]:
    """Print how long the block took."""
    start = time.monotonic()
    yield
    print(f"\n{what}: right after {time.monotonic() - start:.2f} s")


def kill(paas: Paas, name: str) -> None:
    """kill -9 of a service, and wait until there is another one."""
    pid = service(paas, name)
    os.kill(pid, signal.SIGKILL)
    until(lambda: service(paas, name) != pid)


@pytest.mark.parametrize("name", ["dispatcher", "SSH server", "agent"])
def test_while_a_deploy_goes_on(host: Door, engine: docker.DockerClient, gated: str, name: str) -> None:
    paas = host.paas
    with serving(paas), begun(host.ssh_command("git:from-image", APP, gated), paas) as deploy:
        deploy.says("-----> Deploying web")
        kill(paas, name)
        assert operations(paas, APP)[0]["status"] == "running"
        # New commands come in meanwhile.
        assert APP in host.ssh("apps:list").ok()
        until(lambda: let_go(paas, engine, APP), lambda: deploy.text)
        assert deploy.ends() == 0, deploy.text
        with ended(name):
            settled(paas, engine.api, APP)
    paas.command("git:from-image", APP, WEB).ok()


def test_the_connection_of_a_deploy(host: Door, engine: docker.DockerClient, gated: str) -> None:
    """The process that serves the client's connection: the deploy is cancelled, as by any client that goes away."""
    paas = host.paas
    with serving(paas), begun(host.ssh_command("git:from-image", APP, gated), paas) as deploy:
        deploy.says("-----> Deploying web")
        for pid in children(service(paas, "SSH server")):
            os.kill(pid, signal.SIGKILL)
        assert deploy.ends() == 255
        with ended("connection"):
            settled(paas, engine.api, APP)
        assert operations(paas, APP)[0]["status"] == "cancelled"
    paas.command("git:from-image", APP, WEB).ok()


def test_the_dispatcher_while_commands_connect(host: Door, engine: docker.DockerClient) -> None:
    paas = host.paas
    with serving(paas), ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(run, [str(STUB), "config:set", "--no-restart", APP, f"N{n}=1"], env=paas.env) for n in range(24)]
        for _ in range(2):
            kill(paas, "dispatcher")
        answers = [item.result() for item in asked]
    # Either it was done, or it says that its process was killed: never another thing, and never for ever.
    for answer in answers:
        assert answer.code == 0 or KILLED in answer.err, answer
    stored = paas.command("config:keys", APP).ok().split()
    assert {f"N{n}" for n, answer in enumerate(answers) if answer.code == 0} <= set(stored)
    print(f"\n{sum(answer.code == 0 for answer in answers)} of {len(answers)} commands done")
    settled(paas, engine.api, APP)
    paas.command("config:unset", "--no-restart", APP, *(name for name in stored if name[1:].isdigit())).ok()


def test_the_ssh_server_while_clients_connect(host: Door, engine: docker.DockerClient) -> None:
    paas = host.paas
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(host.ssh, "apps:list") for _ in range(12)]
        kill(paas, "SSH server")
        answers = [item.result() for item in asked]
    for answer in answers:
        assert (answer.code == 0 and APP in answer.out) or answer.code == 255, answer
    print(f"\n{sum(answer.code == 0 for answer in answers)} of {len(answers)} connections served")
    assert APP in host.ssh("apps:list").ok()


def test_a_push(host: Door, engine: docker.DockerClient, repo: Repo) -> None:
    """Dispatcher, SSH server and agent, one after the other, during one `git push`."""
    paas = host.paas
    repo.write({"Dockerfile": f"FROM {SHELL}\nRUN echo begun && sleep 2\n"})
    repo.commit()
    words = ["git", "push", "--force", host.remote(APP), "main:master"]
    with serving(paas), begun(words, paas, repo.path, host.git_env()) as push:
        push.says("begun")
        for name in ("dispatcher", "SSH server", "agent"):
            kill(paas, name)
        assert push.ends() == 0, push.text
        settled(paas, engine.api, APP)
    assert repo.push(host.remote(APP), "main:master", host.git_env(), "--force").code == 0


def test_the_agent_before_it_revives(host: Door, engine: docker.DockerClient) -> None:
    """A process that ended is to be started again in a second: the agent that knows it is gone by then."""
    paas = host.paas
    container = next(iter(containers(paas, engine, APP)))[0]
    # Exit code 0: the engine's own restart policy leaves it alone.
    engine.api.exec_start(engine.api.exec_create(container, ["/bin/busybox", "kill", "1"])["Id"])
    engine.api.stop(container, timeout=0)
    kill(paas, "agent")
    with ended("agent before it revives"):
        settled(paas, engine.api, APP)


def test_the_agent_while_it_retires(host: Door, engine: docker.DockerClient) -> None:
    paas = host.paas
    paas.command("checks:set", APP, "wait-to-retire", "0").ok()
    with serving(paas):
        paas.command("ps:restart", APP).ok()
        kill(paas, "agent")
        with ended("agent while it retires"):
            settled(paas, engine.api, APP)


CRON = '{"cron": [{"command": "/bin/busybox sleep %d", "schedule": "0 0 1 1 *"}]}'


def test_the_agent_and_the_dispatcher_during_a_cron_run(host: Door, engine: docker.DockerClient, repo: Repo) -> None:
    paas = host.paas
    repo.write({"Dockerfile": f"FROM {SHELL}\n", "app.json": CRON % 3})
    repo.commit()
    repo.push(host.remote(APP), "main:master", host.git_env(), "--force").ok()
    task = paas.command("cron:list", APP, "--format", "json").ok()

    identifier = json.loads(task)[0]["id"]
    paas.command("cron:run", APP, identifier, "--detach").ok()
    for name in ("agent", "dispatcher"):
        kill(paas, name)
    # It goes on to its end.
    until(lambda: operations(paas, APP)[0]["status"] != "running")
    assert (operations(paas, APP)[0]["kind"], operations(paas, APP)[0]["status"]) == ("cron:run", "succeeded")
    settled(paas, engine.api, APP)
    # One whose own process is killed is cleaned up after.
    paas.command("cron:run", APP, identifier, "--detach").ok()
    os.kill(*command_processes(paas), signal.SIGKILL)
    kill(paas, "agent")
    with ended("cron run"):
        settled(paas, engine.api, APP)
    assert operations(paas, APP)[0]["status"] == "failed"


def test_haproxy_during_a_deploy(host: Door, engine: docker.DockerClient, gated: str) -> None:
    paas = host.paas
    with begun(host.ssh_command("git:from-image", APP, gated), paas) as deploy:
        deploy.says("-----> Deploying web")
        master = service(paas, "haproxy")
        for pid in (*children(master), master):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: let_go(paas, engine, APP), lambda: deploy.text)
        assert deploy.ends() == 0, deploy.text
    with ended("haproxy"):
        settled(paas, engine.api, APP)
    paas.command("git:from-image", APP, WEB).ok()


def test_haproxy_right_at_the_switch(host: Door, engine: docker.DockerClient) -> None:
    """Killed again and again while restarts go on: whatever a restart ends with, all agrees afterwards."""
    paas = host.paas
    over = threading.Event()

    def kill_routers() -> None:
        while not over.wait(0.4):
            for pid in children(service(paas, "haproxy")):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill_routers)
    thread.start()
    try:
        for _ in range(2):
            answer = paas.command("ps:restart", APP)
            assert answer.code == 0 or answer.err.splitlines()[-1].startswith(" !     "), answer
    finally:
        over.set()
        thread.join()
    settled(paas, engine.api, APP)
    paas.command("ps:restart", APP).ok()


def test_everything_at_once(host: Door, engine: docker.DockerClient, gated: str) -> None:
    paas = host.paas
    with begun([str(STUB), "git:from-image", APP, gated], paas) as deploy:
        deploy.says("-----> Deploying web")
        assert paas.process
        pids = [*children(service(paas, "haproxy")), *children(paas.process.pid), paas.process.pid]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        paas.process.wait()
        # The deploy is a process of its own.
        until(lambda: let_go(paas, engine, APP), lambda: deploy.text)
        paas.start()
        assert deploy.ends() == 0, deploy.text
    with ended("everything"):
        settled(paas, engine.api, APP)
    assert host.ssh("apps:list").code == 0
    paas.command("git:from-image", APP, WEB).ok()


