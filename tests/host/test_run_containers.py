"""The containers of run and run:detached: what they carry, and that each of them goes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import docker
import pytest
from support.clients import Client, until
from support.server import STUB, Paas


@pytest.fixture(scope="module")
def jobs(paas: Paas, image_names: dict[str, str]) -> Iterator[Paas]:
    paas.command("apps:create", "jobs").ok()
    paas.command("git:from-image", "jobs", image_names["shell"]).ok()
    yield paas


def run_containers(paas: Paas, engine: docker.DockerClient) -> dict[str, str]:
    """State by name."""
    labels = {"label": [f"paas.root={paas.root}", "paas.process-type=run"]}
    found = engine.api.containers(all=True, filters=labels)
    return {item["Names"][0].removeprefix("/"): item["State"] for item in found}


def test_labels_and_environment(jobs: Paas, engine: docker.DockerClient) -> None:
    words = ("--label", "com.example.team=night", "-e", "WHAT=soap")
    name = jobs.command("run:detached", *words, "jobs", "sleep", "300").ok().strip()
    made = engine.api.inspect_container(name)["Config"]
    assert made["Labels"]["com.example.team"] == "night"
    assert made["Labels"]["paas.app"] == "jobs"
    assert "WHAT=soap" in made["Env"]
    assert name in jobs.command("run:list", "jobs").ok()
    entered = jobs.command("enter", "jobs", "--container-id", name, "--", "sh", "-c", "echo $WHAT")
    assert entered.ok() == "soap\n"
    jobs.command("run:stop", "--container", name).ok()
    assert run_containers(jobs, engine) == {}


def test_the_agent_ends_what_is_out_of_time(jobs: Paas, engine: docker.DockerClient) -> None:
    name = jobs.command("run:detached", "--ttl-seconds", "1", "jobs", "sleep", "300").ok().strip()
    until(lambda: name not in run_containers(jobs, engine))


def test_what_has_ended_can_be_read_and_retired(jobs: Paas, engine: docker.DockerClient) -> None:
    name = jobs.command("run:detached", "jobs", "sh", "-c", "echo done; exit 3").ok().strip()
    until(lambda: run_containers(jobs, engine).get(name) == "exited")
    assert jobs.command("run:logs", "--container", name, "-q").ok() == "done\n"
    entered = jobs.command("enter", "jobs", "--container-id", name, "true")
    assert (entered.code, entered.err) == (1, " !     Container is not running\n")
    jobs.command("run:retire", "jobs").ok()
    assert run_containers(jobs, engine) == {}


def test_what_is_refused_leaves_nothing(jobs: Paas, engine: docker.DockerClient) -> None:
    said = jobs.command("run:detached", "--label", "nonsense", "jobs", "true")
    assert (said.code, said.err) == (1, " !     Invalid label: nonsense. Give KEY=VALUE. Nothing was run\n")
    assert run_containers(jobs, engine) == {}


def test_a_killed_run_leaves_a_container_only_until_the_agent_looks(
    jobs: Paas, engine: docker.DockerClient, start: Callable[..., Client]
) -> None:
    """Killed with signal 9, so that it can't tidy up itself; a restart of paas is one of the times to look."""
    start([str(STUB), "run", "jobs", "sleep", "300"], jobs.env)
    until(lambda: "running" in run_containers(jobs, engine).values())
    (name,) = run_containers(jobs, engine)
    owner = engine.api.inspect_container(name)["Config"]["Labels"]["paas.owner"]
    os.kill(int(owner.partition(":")[0]), signal.SIGKILL)
    detached = jobs.command("run:detached", "jobs", "sleep", "300").ok().strip()
    until(lambda: run_containers(jobs, engine) == {detached: "running"})
    jobs.command("run:stop", "jobs").ok()
