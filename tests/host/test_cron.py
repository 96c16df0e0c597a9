"""Scheduled tasks in a running paas: the agent starts them, a killed run leaves nothing, policies hold."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import docker
import pytest
from conftest import MakeImage
from support.clients import until
from support.doors import Door
from support.processes import children
from support.server import Paas
from support.state import operations

# The next minute, and what a loaded machine needs to start a container.
MINUTE_SECONDS = 65
LOOK_SECONDS = 0.5
EVERY_MINUTE = "* * * * *"
TASKS = {
    "minutely": {"command": "echo by the agent", "schedule": EVERY_MINUTE},
    "long": {"command": "echo begun; sleep 100", "schedule": "@yearly"},
    "alone": {"command": "sleep 101", "schedule": "@yearly", "concurrency_policy": "forbid"},
    "newest": {"command": "sleep 102", "schedule": "@yearly", "concurrency_policy": "replace"},
    "failing": {"command": "echo oops >&2; exit 7", "schedule": "@yearly"},
}
APP = "scheduled"


@pytest.fixture(scope="module")
def deployed(paas: Paas, make_image: MakeImage) -> None:
    """The app with its tasks."""
    content = json.dumps({"cron": list(TASKS.values())})
    image = make_image("cron", "WORKDIR /srv", f"RUN echo '{content}' > app.json")
    paas.command("apps:create", APP).ok()
    paas.command("git:from-image", APP, image).ok()


@pytest.fixture
def ids(paas: Paas, deployed: None) -> dict[str, str]:
    """The tasks' ids by their names here."""
    listed = json.loads(paas.command("cron:list", APP, "--format", "json").ok())
    return {name: item["id"] for name, item in zip(TASKS, listed, strict=True)}


def runs(paas: Paas, name: str) -> list[dict[str, Any]]:
    """The operations of a task's runs, newest first."""
    task = TASKS[name]
    words = f"{task['schedule']} {task['command']}"
    return [item for item in operations(paas, APP) if item["kind"] == "cron:run" and item["words"] == words]


def ended(paas: Paas, number: int) -> dict[str, Any]:
    """An operation, once it has ended."""
    return until(
        lambda: next(
            (item for item in operations(paas, APP) if item["id"] == number and item["finished_at"]), {}
        )
    )


def running(paas: Paas, engine: docker.DockerClient) -> set[str]:
    """The names of the containers of runs."""
    labels = [f"paas.root={paas.root}", "paas.process-type=cron"]
    return {
        item["Names"][0].lstrip("/") for item in engine.api.containers(all=True, filters={"label": labels})
    }


def pid_of(paas: Paas, number: int) -> int:
    """The process that performs an operation."""
    with contextlib.closing(sqlite3.connect(paas.root / "paas.db")) as database:
        found = database.execute("SELECT pid FROM operations WHERE id = ?", (number,)).fetchone()
    return int(found[0])


def test_a_run_passes_output_and_exit_code_on(host: Door, ids: dict[str, str]) -> None:
    done = host.ssh("cron:run", APP, ids["failing"])
    assert (done.code, done.out) == (7, "oops\n")
    run = runs(host.paas, "failing")[0]
    assert (run["status"], run["message"], run["caller"]) == ("failed", "exit code 7", "admin")
    assert host.ssh("operation:logs", str(run["id"])).ok() == "oops\n"


def test_a_run_ends_at_its_time_limit(host: Door, ids: dict[str, str]) -> None:
    done = host.ssh("cron:run", APP, ids["long"], "--ttl-seconds", "1")
    assert (done.code, done.out) == (137, "begun\n")
    assert "The task was killed after 1 s" in done.err
    assert runs(host.paas, "long")[0]["message"] == "killed after 1 s"


def test_policies_of_detached_runs(paas: Paas, engine: docker.DockerClient, ids: dict[str, str]) -> None:
    first = paas.command("cron:run", APP, ids["alone"], "--detach").ok().strip()
    refused = paas.command("cron:run", APP, ids["alone"])
    assert refused.code == 1
    assert f"operation #{runs(paas, 'alone')[0]['id']}, still goes on" in refused.err
    old = paas.command("cron:run", APP, ids["newest"], "--detach").ok().strip()
    new = paas.command("cron:run", APP, ids["newest"], "--detach").ok().strip()
    assert {first, new} <= running(paas, engine) and old not in running(paas, engine)
    replaced = runs(paas, "newest")[1]
    assert (replaced["status"], replaced["message"]) == ("cancelled", "replaced by the next run")
    for name in ("alone", "newest"):
        number = runs(paas, name)[0]["id"]
        paas.command("operation:cancel", str(number)).ok()
        assert ended(paas, number)["status"] == "cancelled"
    until(lambda: not {first, new} & running(paas, engine))


def test_the_agent_starts_what_is_due_and_a_kill_of_it_ends_no_run(
    paas: Paas, engine: docker.DockerClient, ids: dict[str, str]
) -> None:
    container = paas.command("cron:run", APP, ids["long"], "--detach").ok().strip()
    long_run = runs(paas, "long")[0]["id"]
    os.kill(agent_pid(paas), signal.SIGKILL)
    # The one that takes over plans anew.
    killed = time.time()

    def by_agent() -> list[dict[str, Any]]:
        return [
            item for item in runs(paas, "minutely") if item["finished_at"] and item["created_at"] > killed
        ]

    while not by_agent():
        assert time.time() < killed + MINUTE_SECONDS, operations(paas, APP)
        time.sleep(LOOK_SECONDS)
    run = by_agent()[-1]
    assert (run["status"], run["caller"], run["door"]) == ("succeeded", "cron", "host")
    assert run["created_at"] % 60 < 30
    assert paas.command("operation:logs", str(run["id"])).ok() == "by the agent\n"
    assert container in running(paas, engine)
    # The process of a run is killed: the agent removes what it leaves.
    os.kill(pid_of(paas, long_run), signal.SIGKILL)
    paas.command("ps:restart", APP).ok()
    until(lambda: container not in running(paas, engine))
    assert ended(paas, long_run)["status"] == "failed"


def agent_pid(paas: Paas) -> int:
    """The service that holds the agent's mailbox."""
    assert paas.process is not None
    mailbox = f"{paas.root}/run/agent.sock"
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    sockets = {f"socket:[{row[6]}]" for row in rows if row[-1] == mailbox}
    for pid in children(paas.process.pid):
        with contextlib.suppress(OSError):
            if any(str(item.readlink()) in sockets for item in Path(f"/proc/{pid}/fd").iterdir()):
                return pid
    raise AssertionError("no agent runs")
