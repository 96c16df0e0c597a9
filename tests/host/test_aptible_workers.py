"""Services without HTTP: two releases of a worker never run at the same time, and a failing one brings the old one back."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import docker
import docker.errors
import pytest
from support.doors import Door, embedded
from support.repo import Repo
from support.server import Paas

# Stops at once when it is told to; as PID 1 it would ignore SIGTERM otherwise.
WORKER = "trap 'exit 0' TERM; echo working; sleep 1000 & wait; exit $FAIL"


@dataclass
class Workers:
    """An app with the services web and worker."""

    app: str
    paas: Paas
    host: Door
    engine: docker.DockerClient
    repo: Repo

    def running(self, service: str) -> set[str]:
        """The ids of a service's containers that run."""
        labels = [f"paas.root={self.paas.root}", f"paas.app={self.app}", f"paas.process-type={service}"]
        return {item["Id"] for item in self.engine.api.containers(filters={"label": labels})}

    def serving(self, service: str) -> str:
        """The start of the id of a service's first container, as ps:report tells it; what drains is none."""
        said = self.host.ssh("ps:report", self.app, f"--status-{service}.1").ok()
        return said.partition("CID: ")[2].partition(")")[0]

    def events(self, service: str, change: Callable[[], object]) -> list[tuple[str, str]]:
        """What happens to a service's containers during a change, in its order: (``old`` or ``new``, event)."""
        before = self.running(service)
        labels = [f"paas.root={self.paas.root}", f"paas.app={self.app}", f"paas.process-type={service}"]
        since = time.time()
        change()
        filters = {"type": "container", "event": ["start", "die"], "label": labels}
        # With an end given the engine tells what there was and hangs up.
        found = list(self.engine.api.events(since=since, until=time.time(), filters=filters, decode=True))
        found.sort(key=lambda item: item["timeNano"])
        return [("old" if item["id"] in before else "new", item["status"]) for item in found]


@pytest.fixture(scope="module")
def workers(
    paas: Paas,
    engine: docker.DockerClient,
    image_names: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Workers:
    host = embedded(paas)
    host.ssh("apps:create", "workers").ok()
    host.ssh("config:set", "workers", f"APTIBLE_DOCKER_IMAGE={image_names['shell']}", "FAIL=0").ok()
    repo = Repo(tmp_path_factory.mktemp("workers") / "repo")
    repo.write({"Procfile": f"web: exec httpd -f -p $PORT -h /www\nworker: {WORKER}\n"})
    repo.commit()
    pushed = repo.push(host.remote("workers"), "main:master", host.git_env())
    assert pushed.code == 0, pushed.err
    return Workers("workers", paas, host, engine, repo)


REPLACED = [("old", "die"), ("new", "start")]


@pytest.mark.parametrize(
    "words",
    [
        ("deploy", "--app", "APP"),
        ("rebuild", "--app", "APP"),
        ("config:set", "--app", "APP", "CHANGED=1"),
        ("restart", "--app", "APP"),
        ("apps:scale", "worker", "--app", "APP", "--container-count", "1"),
        ("ps:restart", "APP", "worker"),
        ("releases:rollback", "APP"),
    ],
    ids=lambda words: words[0],
)
def test_the_old_worker_has_ended_before_the_new_one_starts(workers: Workers, words: tuple[str, ...]) -> None:
    if words[0] == "releases:rollback":
        workers.host.ssh("deploy", "--app", workers.app).ok()
    command = [workers.app if word == "APP" else word for word in words]
    assert workers.events("worker", lambda: workers.host.ssh(*command).ok()) == REPLACED


def test_a_worker_that_is_set_to_overlaps_too(workers: Workers) -> None:
    workers.host.ssh("services:settings", "worker", "--app", workers.app, "--force-zero-downtime").ok()
    events = workers.events("worker", lambda: workers.host.ssh("restart", "--app", workers.app).ok())
    assert events[0] == ("new", "start")
    workers.host.ssh("services:settings", "worker", "--app", workers.app, "--no-force-zero-downtime").ok()
    # The container of before may still be on its way out.
    assert (
        workers.events("worker", lambda: workers.host.ssh("restart", "--app", workers.app).ok())[-2:]
        == REPLACED
    )


def test_a_failing_worker_brings_the_old_one_back(workers: Workers) -> None:
    before = workers.running("worker")
    web = workers.serving("web")
    repo = workers.repo
    repo.write({"Procfile": "web: exec httpd -f -p $PORT -h /www\nworker: echo no queue; exit 7\n"})
    repo.commit()
    results = []

    def push() -> None:
        results.append(repo.push(workers.host.remote(workers.app), "main:master", workers.host.git_env()))

    events = workers.events("worker", push)
    assert results[0].code == 1
    assert "remote:        no queue" in results[0].err
    assert (
        "Could not start worker.1: it exited with code 7. Nothing was changed; the release that served before still does"
    ) in results[0].err
    assert events == [*REPLACED, ("new", "die"), ("old", "start")]
    assert workers.running("worker") == before
    assert workers.serving("web") == web
    assert any(container.startswith(web) for container in workers.running("web"))


def test_a_simulated_oom_kills_and_everything_comes_back(workers: Workers) -> None:
    host, before = workers.host, workers.running("worker") | workers.running("web")
    refused = host.ssh("restart", "--app", workers.app, "--simulate-oom")
    assert (refused.code, refused.err) == (
        1,
        f" !     This kills all processes of {workers.app}, and requests with them. Nothing was changed."
        " Add --force if that is meant\n",
    )
    ended = iter(
        workers.engine.api.events(
            filters={"type": "container", "event": ["die", "start"], "label": f"paas.app={workers.app}"},
            decode=True,
        )
    )
    told = host.ssh("restart", "--app", workers.app, "--simulate-oom", "--force").ok()
    assert "Killing web.1; it is started again" in told and "Killing worker.1" in told
    seen: list[tuple[str, str, str | None]] = []
    while sum(status == "start" for _, status, _ in seen) < len(before):
        event = next(ended)
        seen.append((event["id"], event["status"], event["Actor"]["Attributes"].get("exitCode")))
    assert {(name, "die", "137") for name in before} <= set(seen)
    assert {name for name, status, _ in seen if status == "start"} == before


def test_services_are_sized_and_stopped_as_set(workers: Workers) -> None:
    host = workers.host
    host.ssh("services:settings", "worker", "--app", workers.app, "--stop-timeout", "7").ok()
    host.ssh(
        "apps:scale", "worker", "--app", workers.app, "--container-count", "2", "--container-size", "64"
    ).ok()
    assert len(workers.running("worker")) == 2
    for container in workers.running("worker"):
        found = workers.engine.api.inspect_container(container)
        assert found["HostConfig"]["Memory"] == 64 * 1024 * 1024
        assert found["Config"]["StopTimeout"] == 7
    rows = {
        row["service"]: row
        for row in json.loads(host.ssh("services", "--app", workers.app, "--format", "json").ok())
    }
    assert rows["worker"] == {
        "service": "worker",
        "command": WORKER,
        "container_count": 2,
        "container_size": 64,
        "stop_timeout": 7,
        "force_zero_downtime": False,
    }
    retired = workers.running("worker")
    host.ssh("apps:scale", "worker", "--app", workers.app, "--container-count", "0").ok()
    for container in retired:
        # They may be gone already.
        with contextlib.suppress(docker.errors.NotFound):
            workers.engine.api.wait(container)
    # A deploy leaves it at nothing.
    host.ssh("deploy", "--app", workers.app).ok()
    assert workers.running("worker") == set()
    host.ssh("apps:scale", "worker", "--app", workers.app, "--container-count", "1").ok()
    assert len(workers.running("worker")) == 1
