"""Whether everything of an app agrees: what serves, what is recorded, what the engine, the router and the disk hold."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import docker

from paas.settings import Settings
from support import processes
from support.clients import until
from support.in_step import check_in_step
from support.server import Paas
from support.state import current_release, operations, releases

SECONDS = 10.0
ENDED = {"succeeded", "failed", "cancelled"}
# Parts of names of what is only there while something is going on.
PASSING = ("incoming-", "tmp_", "draft", "quarantine", "docker-config")


def service(paas: Paas, name: str) -> int:
    """The process id of one of `paas serve`'s services: ``dispatcher``, ``SSH server``, ``agent``; ``haproxy`` for the
    router's master."""
    return until(lambda: _service(paas, name), paas.last_log)


def _service(paas: Paas, name: str) -> int:
    assert paas.process
    wanted = name if name == "haproxy" else f"paas {name}"
    for child in processes.children(paas.process.pid):
        with contextlib.suppress(OSError):
            if processes.name(child) == wanted[:15]:
                return child
    return 0


def command_processes(paas: Paas) -> list[int]:
    """The commands that run, as processes that the dispatcher forked."""
    mark = f"PAAS_ROOT={paas.root}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            ours = entry.name.isdigit() and processes.name(int(entry.name)) == "paas command"
            if ours and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def settled(
    paas: Paas,
    engine: docker.APIClient,
    app: str,
    inside: Callable[[Callable[[], object]], object] = lambda do: do(),
    running: int = 1,
) -> None:
    """Wait until all of it agrees, SECONDS at the most; no command that changes anything is sent."""
    labels = {"label": [f"paas.root={paas.root}"]}

    def containers() -> list[tuple[str, str]]:
        """Release and state of each of the app's."""
        listed = [item for item in engine.containers(all=True, filters=labels) if item["Labels"].get("paas.app") == app]
        return [(item["Labels"].get("paas.release", ""), item["State"]) for item in listed]

    def wanted() -> list[tuple[str, str]]:
        current = current_release(paas, app)
        assert current is not None
        return [(str(current["release"]), "running")] * running

    def tags() -> set[str]:
        own = f"paas-{Settings.from_environment(paas.env).root_id}/{app}:"
        return {tag for image in engine.images() for tag in image["RepoTags"] or () if tag.startswith(own)}

    def answer() -> int:
        status = [0]

        def ask() -> None:
            with contextlib.suppress(OSError):
                status.append(paas.http_get(app).status)

        inside(ask)
        return status[-1]

    until(lambda: {item["status"] for item in operations(paas, app)} <= ENDED, lambda: operations(paas, app)[:3], SECONDS)
    until(lambda: containers() == wanted(), lambda: (containers(), wanted(), paas.last_log()), SECONDS)
    until(lambda: answer() == 200, paas.last_log, SECONDS)
    assert {item["status"] for item in releases(paas, app)} <= {"succeeded", "failed"}
    until(lambda: len(tags()) <= len([item for item in releases(paas, app) if item["status"] == "succeeded"]), tags, SECONDS)
    assert engine.images(filters={"dangling": True, "label": labels["label"]}) == []
    left = [path for path in paas.root.rglob("*") if any(part in path.name for part in PASSING)]
    assert left == []
    inside(lambda: check_in_step(paas))
