"""kill -9 of dockerd in the middle of a build, of a load and of a rollout: an engine of the test's own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import docker
import pytest
from support import doors, gated
from support.clients import Client, until
from support.doors import Door
from support.private_engine import PrivateEngine, private_engine
from support.repo import Repo
from support.server import STUB, Paas, running_paas
from support.state import current_release
from support.whole import settled

WEB, SHELL = "paas-test/web", "paas-test/shell"
APP = "killed"


@pytest.fixture(scope="module")
def own(image_names: dict[str, str]) -> Iterator[PrivateEngine]:
    with private_engine([WEB, SHELL]) as started:
        yield started


@pytest.fixture(scope="module")
def client(own: PrivateEngine) -> Iterator[docker.APIClient]:
    with contextlib.closing(docker.APIClient(base_url=own.host)) as api:
        yield api


@pytest.fixture(scope="module")
def paas(own: PrivateEngine) -> Iterator[Paas]:
    with running_paas(own.within, DOCKER_HOST=own.host) as server:
        server.command("apps:create", APP).ok()
        server.command("checks:set", APP, "wait-to-retire", "0").ok()
        server.command("git:from-image", APP, WEB).ok()
        yield server


@pytest.fixture
def host(paas: Paas) -> Door:
    return doors.embedded(paas)


@contextlib.contextmanager
def killed(own: PrivateEngine, paas: Paas, api: docker.APIClient, what: str, doing: Client) -> Iterator[None]:
    """kill -9 of dockerd; in the block it is gone. Afterwards it is back, and so is the release that served."""
    before = current_release(paas, APP)
    own.stop(signal.SIGKILL)
    yield
    doing.process.wait(60)
    last = [line for line in doing.text.splitlines() if " !  " in line][-1:]
    assert doing.process.returncode == 1, doing.text
    assert "Traceback" not in doing.text and "Internal error" not in doing.text, doing.text
    assert last and ("does not answer" in last[0] or "can't be loaded" in last[0]), doing.text
    own.start()
    start = time.monotonic()
    settled(paas, api, APP, own.inside)
    print(f"\n{what}: {last[0].strip()}\nright {time.monotonic() - start:.2f} s after Docker was back")
    assert current_release(paas, APP) == before


def test_in_a_build(own: PrivateEngine, host: Door, client: docker.APIClient, repo: Repo) -> None:
    repo.write({"Dockerfile": f"FROM {SHELL}\nRUN echo begun && sleep 3\n"})
    repo.commit()
    words = [*own.within, "git", "push", "--force", host.remote(APP), "main:master"]
    push = Client(words, host.git_env(), repo.path, subprocess.DEVNULL)
    with contextlib.closing(push):
        push.says("begun")
        with killed(own, host.paas, client, "build", push):
            pass
    again = Client(words, host.git_env(), repo.path, subprocess.DEVNULL)
    with contextlib.closing(again):
        assert again.ends() == 0, again.text


def test_in_a_load(own: PrivateEngine, paas: Paas, client: docker.APIClient) -> None:
    archive = subprocess.run(["docker", "image", "save", WEB], capture_output=True, check=True).stdout
    reader, writer = os.pipe()
    words = [str(STUB), "git:load-image", APP, WEB]
    with os.fdopen(reader, "rb") as source, os.fdopen(writer, "wb") as sink:
        load = Client(words, paas.env, None, source)
        with contextlib.closing(load):
            sink.write(archive[: len(archive) // 2])
            sink.flush()
            with killed(own, paas, client, "load", load), contextlib.suppress(BrokenPipeError):
                source.close()
                sink.write(archive[len(archive) // 2 :])
                sink.close()
    paas.command("git:load-image", APP, WEB, input=archive).ok()


def test_in_a_rollout(own: PrivateEngine, paas: Paas, client: docker.APIClient) -> None:
    image = gated.build(gated.TAG, "--host", own.host)
    deploy = Client([str(STUB), "git:from-image", APP, image], paas.env, None, subprocess.DEVNULL)
    with contextlib.closing(deploy):
        deploy.says("-----> Deploying web")
        until(lambda: len(client.containers(filters={"label": f"paas.app={APP}"})) == 2)
        with killed(own, paas, client, "rollout", deploy):
            pass
    paas.command("git:from-image", APP, SHELL).ok()
    settled(paas, client, APP, own.inside)
