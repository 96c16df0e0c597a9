"""An image whose container gets ready when it is told to, so that a deploy lasts as long as a test wants."""

from __future__ import annotations

import subprocess

import docker
import docker.errors

from support.server import Paas

TAG = "paas-test-faults/gated:latest"
# Waits for the file /go before it listens: the test says when the release becomes healthy.
GATED = 'CMD ["sh", "-c", "until [ -e /go ]; do sleep 0.05; done; exec httpd -f -p $PORT -h /www"]'
DOCKERFILE = f"FROM paas-test/shell\nSTOPSIGNAL SIGKILL\n{GATED}\n"


def build(tag: str = TAG, *options: str) -> str:
    """Make the image, with a Docker client's global `options`; its tag."""
    words = ["docker", *options, "build", "-q", "-t", tag, "-"]
    subprocess.run(words, input=DOCKERFILE.encode(), check=True, capture_output=True)
    return tag


def let_go(paas: Paas, engine: docker.DockerClient, app: str) -> bool:
    """Let those of the app's containers that wait get ready; whether there were any."""
    labels = {"label": [f"paas.root={paas.root}", f"paas.app={app}"], "status": "running"}
    gated = [item for item in engine.api.containers(filters=labels) if "/go" in item["Command"]]
    opened = [_open(engine.api, item["Id"]) for item in gated]
    return any(opened)


def _open(engine: docker.APIClient, container_id: str) -> bool:
    """Whether it waited: one of an earlier deploy may still be about to end, and waits no more."""
    try:
        gate = engine.exec_create(container_id, ["mkdir", "/go"])["Id"]
        engine.exec_start(gate)
        return bool(engine.exec_inspect(gate)["ExitCode"] == 0)
    except docker.errors.APIError:
        return False
