"""paas serve is stopped, politely or not, and started again while commands run: they finish."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import docker
import pytest
from support import doors
from support.clients import Client, until
from support.server import STUB, Paas
from support.state import operations

# Waits for the file /go before it listens.
GATED = 'FROM paas-test/shell\nSTOPSIGNAL SIGKILL\nCMD ["sh", "-c", "until [ -e /go ]; do sleep 0.05; done; exec httpd -f -p $PORT -h /www"]\n'


@pytest.fixture(scope="module")
def gated(engine: docker.DockerClient, image_names: dict[str, str]) -> Iterator[str]:
    tag = "paas-test-faults/gated:latest"
    subprocess.run(["docker", "build", "-q", "-t", tag, "-"], input=GATED.encode(), check=True, capture_output=True)
    yield tag
    engine.api.remove_image(tag, force=True)


def let_go(paas: Paas, engine: docker.DockerClient, app: str) -> bool:
    labels = {"label": [f"paas.root={paas.root}", f"paas.app={app}"], "status": "running"}
    waiting = [item for item in engine.api.containers(filters=labels) if "/go" in item["Command"]]
    for item in waiting:
        engine.api.exec_start(engine.api.exec_create(item["Id"], ["touch", "/go"])["Id"])
    return bool(waiting)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("way", ["ssh", "host"])
def test_a_running_deploy_finishes(
    paas: Paas, engine: docker.DockerClient, gated: str, way: str, number: signal.Signals
) -> None:
    app = f"going-{way}-{number.name.lower()}"
    paas.command("apps:create", app).ok()
    words = ["git:from-image", app, gated]
    command = doors.embedded(paas).ssh_command(*words) if way == "ssh" else [str(STUB), *words]
    client = Client(command, paas.env, None, subprocess.DEVNULL)
    try:
        client.says("-----> Deploying web")
        paas.stop(number)
        paas.start()
        assert operations(paas, app)[0]["status"] == "running"
        until(lambda: let_go(paas, engine, app), lambda: client.text)
        assert client.ends() == 0, client.text
        assert "=====> Application deployed:" in client.text
    finally:
        client.close()
    assert operations(paas, app)[0]["status"] == "succeeded"
    assert until(lambda: paas.http_get(app).status != 503)
