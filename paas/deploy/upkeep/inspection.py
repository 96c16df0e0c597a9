"""ps:inspect: what the engine says of an app's containers, its variables' values left out."""

from __future__ import annotations

from typing import Any

from paas.deploy.session import Session
from paas.store.apps import App

MASKED = "XXXXXX"
# Variables of the platform, which tell no secret.
SHOWN = ("CACHE_PATH=", "DOCKER_", "DOKKU_", "DYNO=", "PATH=", "PORT=", "USER=")


def inspection(session: Session, app: App) -> list[dict[str, Any]]:
    """One document a serving process."""
    found = []
    for process in session.releases.processes(app.id):
        if session.containers.find(process.container_id):
            data = session.containers.inspect(process.container_id)
            data["Config"]["Env"] = [masked(text) for text in data["Config"].get("Env") or ()]
            found.append(data)
    return found


def masked(text: str) -> str:
    """``KEY=value`` as ``KEY=XXXXXX``."""
    return text if text.startswith(SHOWN) else f"{text.partition('=')[0]}={MASKED}"
