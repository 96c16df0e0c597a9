"""What an app is made of, seen from outside: what a cancelled or failed change must leave as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from support.server import Paas

# What grows with every command, whether it changes something or not, and what is kept to be faster the next time.
RECORDS = ("operations", "paas.db", "log", "cache", "checkouts", "locks/builds", "run/engine-root.json")


@dataclass(frozen=True)
class State:
    """Everything of an app that a command could leave behind or take away."""

    app: str
    containers: frozenset[tuple[str, str]]
    tags: frozenset[str]
    files: frozenset[str]
    branches: str
    current: object
    body: str


def state_of(paas: Paas, engine: docker.DockerClient, app: str) -> State:
    """The state of an app that serves."""
    branches = paas.root / "repositories" / f"{app}.git"
    return State(
        app,
        containers(paas, engine, app),
        tags(paas, engine, app),
        frozenset(_files(paas.root, app)),
        "".join(sorted(path.read_text() for path in (branches / "refs").rglob("*") if path.is_file())),
        current_release(paas, app),
        paas.http_get(app).body,
    )


def containers(paas: Paas, engine: docker.DockerClient, app: str) -> frozenset[tuple[str, str]]:
    """Id and state of every container of an app, one-off ones too."""
    labels = {"label": [f"paas.root={paas.root}", f"paas.app={app}"]}
    return frozenset((item["Id"], item["State"]) for item in engine.api.containers(all=True, filters=labels))


def tags(paas: Paas, engine: docker.DockerClient, app: str) -> frozenset[str]:
    """The engine's names for an app's releases."""
    return frozenset(tag for image in engine.api.images() for tag in image["RepoTags"] or () if f"/{app}:" in tag)


def releases(paas: Paas, app: str) -> list[dict[str, Any]]:
    """Newest first."""
    found: list[dict[str, Any]] = json.loads(paas.command("releases", app, "--format", "json").ok())
    return found


def current_release(paas: Paas, app: str) -> dict[str, Any] | None:
    """The release that serves."""
    return next((item for item in releases(paas, app) if item["current"]), None)


def operations(paas: Paas, app: str) -> list[dict[str, Any]]:
    """Newest first."""
    found: list[dict[str, Any]] = [
        json.loads(line) for line in paas.command("operations", app, "--format", "json").ok().splitlines()
    ]
    return found


def difference(before: State, after: State) -> dict[str, tuple[object, object]]:
    """What is only in the one and only in the other, by part; empty when they are the same."""
    found: dict[str, tuple[object, object]] = {}
    for name in State.__dataclass_fields__:
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            sets = isinstance(old, frozenset) and isinstance(new, frozenset)
            found[name] = (sorted(old - new), sorted(new - old)) if sets else (old, new)
    return found


def _files(root: Path, app: str) -> Iterator[str]:
    """Everything below the root that is the app's or everybody's."""
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        anothers = name.startswith("repositories/") and not name.startswith(f"repositories/{app}.git")
        if not name.startswith(RECORDS) and not anothers:
            yield name
