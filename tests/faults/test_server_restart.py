"""paas serve is stopped, politely or not, and started again while commands run: they finish."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import docker
import pytest
from support import doors, gated
from support.clients import Client, until
from support.server import STUB, Paas
from support.state import operations


@pytest.fixture(scope="module")
def gate(engine: docker.DockerClient, image_names: dict[str, str]) -> Iterator[str]:
    tag = gated.build()
    yield tag
    engine.api.remove_image(tag, force=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("way", ["ssh", "host"])
def test_a_running_deploy_finishes(
    paas: Paas, engine: docker.DockerClient, gate: str, way: str, number: signal.Signals
) -> None:
    app = f"going-{way}-{number.name.lower()}"
    paas.command("apps:create", app).ok()
    words = ["git:from-image", app, gate]
    command = doors.embedded(paas).ssh_command(*words) if way == "ssh" else [str(STUB), *words]
    client = Client(command, paas.env, None, subprocess.DEVNULL)
    try:
        client.says("-----> Deploying web")
        paas.stop(number)
        paas.start()
        assert operations(paas, app)[0]["status"] == "running"
        until(lambda: gated.let_go(paas, engine, app), lambda: client.text)
        assert client.ends() == 0, client.text
        assert "=====> Application deployed:" in client.text
    finally:
        client.close()
    assert operations(paas, app)[0]["status"] == "succeeded"
    assert until(lambda: paas.http_get(app).status != 503)
