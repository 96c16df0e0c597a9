"""What docker-options:*, resource:*, ps:set, scheduler-docker-local:set and logs:set give an app's containers and builds:
`docker inspect` is the judge."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import docker
import pytest
from conftest import MakeImage
from support.clients import until
from support.doors import Door
from support.repo import Repo
from support.server import Paas

PROCFILE = r"web: exec httpd -f -p \$PORT -h /www\nworker: exec sleep 1000\nonce: sleep 4\nrelease: id -u; touch /mnt/one/released\n"
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def image(make_image: MakeImage) -> str:
    return make_image("options", "WORKDIR /app", f'RUN printf "{PROCFILE}" > Procfile')


@pytest.fixture
def app(host: Door) -> str:
    name = f"opt-{uuid.uuid4().hex[:8]}"
    host.ssh("apps:create", name).ok()
    return name


def serving(paas: Paas, engine: docker.DockerClient, app: str, kind: str = "web") -> dict[str, Any]:
    """What the engine says of the first process of a type."""
    report = json.loads(paas.command("ps:report", app, "--format", "json").ok())
    shown = report[f"status-{kind}.1"].partition("CID: ")[2].rstrip(")").partition(")")[0]
    found: dict[str, Any] = engine.api.inspect_container(shown)
    return found


def restarts(paas: Paas, engine: docker.DockerClient, app: str, policy: str, tries: int = 0, kind: str = "web") -> None:
    """Wait until the engine restarts a process so: the agent tells it, right after the deploy."""
    expected = {"Name": policy, "MaximumRetryCount": tries}
    until(lambda: serving(paas, engine, app, kind)["HostConfig"]["RestartPolicy"] == expected)


def picked(host: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    return {key: host.get(key) for key in expected}


def test_a_deploy_with_many_options(
    host: Door, engine: docker.DockerClient, app: str, image: str, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    added = {
        "deploy,run": f"-v {tmp_path}/one:/mnt/one --add-host db.internal:10.1.2.3 -e GREETING=hello",
        "run": "--memory 64m",
        "deploy": f"--mount type=bind,source={tmp_path},target=/mnt/two,readonly --tmpfs /scratch:size=8m --shm-size=128m"
        " --ulimit nofile=2048:4096 --cap-add NET_ADMIN --cap-drop=MKNOD --cpu-shares 512 --label com.example.team=web"
        " --hostname box --dns 10.9.9.9 --sysctl net.core.somaxconn=777 --log-opt tag=mine --stop-signal SIGINT"
        " --security-opt no-new-privileges --health-cmd true --health-interval 300ms",
    }
    for phases, words in added.items():
        host.ssh("docker-options:add", app, phases, *words.split()).ok()
    host.ssh("docker-options:add", "--process", "worker", app, "deploy", "--read-only").ok()
    host.ssh("resource:limit", app, "--memory", "200", "--cpu", "0.5").ok()
    host.ssh(
        "resource:limit", app, "--process-type", "worker", "--memory", "100m", "--memory-swap", "150m"
    ).ok()
    host.ssh("resource:reserve", app, "--memory", "32").ok()
    host.ssh("logs:set", app, "max-size", "3m").ok()
    host.ssh("ps:set", app, "stop-timeout-seconds", "1").ok()
    host.ssh("ps:set", app, "restart-policy", "unless-stopped").ok()
    host.ssh("scheduler-docker-local:set", app, "init-process", "false").ok()
    host.ssh("ps:scale", app, "worker=1").ok()
    host.ssh("git:from-image", app, image).ok()
    assert (tmp_path / "one" / "released").exists(), "release commands get what the processes get"

    web = serving(host.paas, engine, app)
    expected = {
        "Binds": [f"{tmp_path}/one:/mnt/one"],
        "Tmpfs": {"/scratch": "size=8m"},
        "ShmSize": 128 * MEGABYTE,
        "Ulimits": [{"Name": "nofile", "Soft": 2048, "Hard": 4096}],
        "ExtraHosts": ["db.internal:10.1.2.3"],
        "CapAdd": ["NET_ADMIN"],
        "CapDrop": ["AUDIT_WRITE", "MKNOD", "NET_RAW"],
        "CpuShares": 512,
        "Dns": ["10.9.9.9"],
        "Sysctls": {"net.core.somaxconn": "777"},
        "LogConfig": {"Type": "json-file", "Config": {"max-file": "2", "max-size": "3m", "tag": "mine"}},
        "SecurityOpt": ["no-new-privileges"],
        "Init": False,
        "Memory": 200 * MEGABYTE,
        "NanoCpus": 500_000_000,
        "MemoryReservation": 32 * MEGABYTE,
        "ReadonlyRootfs": False,
    }
    assert picked(web["HostConfig"], expected) == expected
    restarts(host.paas, engine, app, "unless-stopped")
    config = web["Config"]
    assert (config["Hostname"], config["StopSignal"], config["StopTimeout"]) == ("box", "SIGINT", 1)
    assert config["Labels"]["com.example.team"] == "web" and config["Labels"]["paas.app"] == app
    assert "GREETING=hello" in config["Env"] and config["Healthcheck"]["Test"] == ["CMD-SHELL", "true"]
    writable = {item["Destination"]: item["RW"] for item in web["Mounts"]}
    assert writable["/mnt/one"] and not writable["/mnt/two"]

    worker = serving(host.paas, engine, app, "worker")["HostConfig"]
    expected = {
        "ReadonlyRootfs": True,
        "Memory": 100 * MEGABYTE,
        "MemorySwap": 150 * MEGABYTE,
        "NanoCpus": 500_000_000,
    }
    assert picked(worker, expected) == expected

    ran = host.ssh("run", app, "sh", "-c", "'echo $GREETING; cat /etc/hosts; ls /mnt/one; cat /sys/fs/cgroup/memory*/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true'").ok()  # fmt: skip
    assert ran.startswith("hello\n") and "10.1.2.3\tdb.internal" in ran and "released" in ran
    assert str(64 * MEGABYTE) in ran

    # What is taken away is gone with the next deploy or restart, not before.
    host.ssh("docker-options:clear", app).ok()
    host.ssh("ps:set", app, "restart-policy").ok()
    assert serving(host.paas, engine, app)["Id"] == web["Id"]
    host.ssh("ps:restart", app).ok()
    after = serving(host.paas, engine, app)
    assert after["HostConfig"]["Binds"] is None and after["HostConfig"]["Memory"] == 200 * MEGABYTE
    restarts(host.paas, engine, app, "on-failure", 10)


def test_the_memory_limit_is_the_same_by_both_ways_and_what_the_engine_refuses_changes_nothing(
    host: Door, engine: docker.DockerClient, app: str, image: str
) -> None:
    host.ssh("docker-options:add", app, "deploy", "--tmpfs", "/mnt/one").ok()
    host.ssh("resource:limit", "--memory", "96", app).ok()
    host.ssh("git:from-image", app, image).ok()
    assert serving(host.paas, engine, app)["HostConfig"]["Memory"] == 96 * MEGABYTE
    host.ssh("apps:scale", "--app", app, "web", "--container-size", "128").ok()
    assert serving(host.paas, engine, app)["HostConfig"]["Memory"] == 128 * MEGABYTE
    assert host.ssh("resource:report", app, "--resource-web.limit.memory").ok() == "128\n"

    # What only the engine can judge fails a deploy, and leaves the old processes.
    before = serving(host.paas, engine, app)
    host.ssh("docker-options:add", app, "deploy", "--runtime=nosuch").ok()
    failed = host.ssh("ps:restart", app)
    assert failed.code == 1 and "nosuch" in failed.err and "Traceback" not in failed.err
    assert serving(host.paas, engine, app)["Id"] == before["Id"]


def test_a_process_of_an_app_that_is_not_to_be_restarted_stays_ended(
    host: Door, engine: docker.DockerClient, app: str, image: str
) -> None:
    host.ssh("docker-options:add", app, "deploy", "--tmpfs", "/mnt/one").ok()
    host.ssh("docker-options:add", "--process", "once", app, "deploy", "--restart=no").ok()
    host.ssh("ps:scale", app, "once=1", "worker=1").ok()
    host.ssh("git:from-image", app, image).ok()
    once = serving(host.paas, engine, app, "once")
    worker = serving(host.paas, engine, app, "worker")
    # Told after the other one's.
    restarts(host.paas, engine, app, "on-failure", 10, "worker")
    restarts(host.paas, engine, app, "no", kind="once")

    def ended() -> bool:
        return not engine.api.inspect_container(once["Id"])["State"]["Running"]

    until(ended)
    engine.api.kill(worker["Id"])
    # The other one is killed later and comes back after a second: by then the first one would be back too.
    until(lambda: engine.api.inspect_container(worker["Id"])["State"]["Running"])
    assert ended()


def test_processes_start_one_after_the_other_where_that_is_set(
    host: Door, engine: docker.DockerClient, app: str, image: str
) -> None:
    host.ssh("docker-options:add", app, "deploy", "--tmpfs", "/mnt/one").ok()
    host.ssh("scheduler-docker-local:set", app, "parallel-schedule-count", "1").ok()
    host.ssh("ps:scale", app, "web=3").ok()
    host.ssh("git:from-image", app, image).ok()
    report = json.loads(host.paas.command("ps:report", app, "--format", "json").ok())
    shown = [report[f"status-web.{number}"].partition("CID: ")[2][:11] for number in (1, 2, 3)]
    started = [engine.api.inspect_container(item)["State"]["StartedAt"] for item in shown]
    created = [engine.api.inspect_container(item)["Created"] for item in shown]
    assert created[1] > started[0] and created[2] > started[1]


def test_a_build_gets_its_options(
    host: Door, engine: docker.DockerClient, app: str, repo: Repo, image_names: dict[str, str]
) -> None:
    repo.write(
        {
            "Dockerfile": f'FROM {image_names["shell"]} AS wanted\nARG GREETING\nRUN echo "said: $GREETING" > /www/said.txt'
            " && cat /etc/hosts > /www/hosts.txt\nFROM scratch AS other\n",
            "Procfile": "web: exec httpd -f -p $PORT -h /www\n",
        }
    )
    repo.commit()
    host.ssh("docker-options:add", app, "build", "--build-arg", "GREETING=hello").ok()
    words = "--target wanted --label com.example.built=yes --add-host=builder.internal:10.3.2.1 --no-cache"
    host.ssh("docker-options:add", app, "build", f"'{words}'").ok()
    said = repo.push(host.remote(app), "main", host.git_env())
    assert said.code == 0, said.err
    assert host.paas.http_get(app, "/said.txt").body == "said: hello\n"
    assert "10.3.2.1\tbuilder.internal" in host.paas.http_get(app, "/hosts.txt").body
    image = engine.api.inspect_image(serving(host.paas, engine, app)["Image"])
    assert image["Config"]["Labels"]["com.example.built"] == "yes"


def test_values_are_in_no_record(host: Door, app: str) -> None:
    host.ssh("docker-options:add", app, "deploy", "-e", "TOKEN=very-secret-value").ok()
    host.ssh("docker-options:add", app, "build", "--build-arg=TOKEN=very-secret-value").ok()
    host.ssh("docker-options:remove", app, "deploy", "--env=TOKEN=very-secret-value").ok()
    assert "very-secret-value" not in host.ssh("operations", app).ok()
    assert b"very-secret-value" not in b"".join(
        path.read_bytes() for path in host.paas.root.glob("paas.db*") if path.is_file()
    )
    assert (
        host.ssh("docker-options:report", app, "--docker-options-build").ok()
        == "--build-arg=TOKEN=very-secret-value\n"
    )
