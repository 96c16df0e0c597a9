"""Commands whose changes of files stay: run in a container, which then becomes an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from paas.engine.client import engine_errors, patience
from paas.engine.hijacked import hijacked

if TYPE_CHECKING:
    from docker import APIClient


def run_in(
    client: APIClient,
    container_id: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    on_output: Callable[[bytes], None],
) -> int | None:
    """Run a command in a running container, hand on what it prints as it comes; its exit code, None where the
    container ended first."""
    from docker.errors import APIError

    with engine_errors(), patience(client):
        try:
            exec_id = client.exec_create(container_id, list(command), environment=dict(environment))["Id"]
            answer = client.exec_start(exec_id, socket=True)
        except APIError as error:
            # Of one that ends in between, the engine says so with another number.
            if error.status_code != 409 and "is not running" not in str(error.explanation):
                raise
            return None
        with hijacked(answer) as stream:
            for piece in stream.output():
                on_output(piece)
        code = client.exec_inspect(exec_id)["ExitCode"]
        return int(code) if code is not None else None


def commit(
    client: APIClient, container_id: str, image_id: str, name: str, labels: Mapping[str, str]
) -> None:
    """Make an image, called `name` (``repository:tag``), of a container's files and the settings of the image that the
    container was made from. What the engine would add of the container's own labels is set to `labels`."""
    with engine_errors(), patience(client):
        settings = client.inspect_image(image_id)["Config"] or {}
        settings["Labels"] = (settings.get("Labels") or {}) | dict(labels)
        # Empty, not missing: what is missing is taken from the container.
        settings["Entrypoint"] = settings.get("Entrypoint") or []
        repository, _, tag = name.rpartition(":")
        client.commit(container_id, repository=repository, tag=tag, conf=settings)
