"""Much at once, on a small scale; `python -P -m faults.load` does it with the numbers that are promised."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

import docker
import pytest
from support import doors
from support.clients import Client
from support.doors import Door
from support.repo import Repo
from support.server import Paas, running_paas

from faults import load
from paas.store.turns import turn

LIMITS = {"PAAS_SSH_MAX_CONNECTIONS": "24", "PAAS_SSH_LOGIN_SECONDS": "5", "PAAS_MAX_COMMANDS": "40", "PAAS_MAX_BUILDS": "1"}


@pytest.fixture(scope="module")
def paas(image_names: dict[str, str]) -> Iterator[Paas]:
    """A server with low limits."""
    with running_paas(**LIMITS) as server:
        yield server


def test_apps_deployed_at_once(paas: Paas, engine: docker.DockerClient, image_names: dict[str, str]) -> None:
    load.apps_at_once(paas, engine, image_names["web"], 6)


def test_deploys_of_one_app_take_turns(paas: Paas, engine: docker.DockerClient, image_names: dict[str, str]) -> None:
    load.queued(paas, engine, (image_names["web"], image_names["static"]), 5)


def test_builds_take_turns(paas: Paas, repo: Repo) -> None:
    door = doors.embedded(paas)
    repo.write({"Dockerfile": "FROM paas-test/web\nCOPY page /page\n", "page": "Built"})
    repo.commit()
    # As another build that runs.
    with turn(paas.root / "locks/builds", 1, contextlib.nullcontext):
        client = Client(["git", "push", door.remote("built"), "main:master"], door.git_env(), repo.path, subprocess.DEVNULL)
        client.says("-----> Waiting for one of the 1 builds that run (PAAS_MAX_BUILDS)")
    try:
        assert client.ends() == 0, client.text
        assert "=====> Application deployed:" in client.text
    finally:
        client.close()


def test_many_connections(door: Door) -> None:
    load.connections(door, 20)


def test_clients_that_say_nothing(paas: Paas) -> None:
    load.silent(paas, 60)
