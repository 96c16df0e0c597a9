"""Every change is an operation: one at a time, followed, cancelled, interrupted, killed, and recorded without secrets."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import docker
import pytest
from conftest import MakeImage, OpenGate, Start
from support.clients import Client, until
from support.doors import Door
from support.gated import GATED
from support.repo import Repo
from support.server import Paas
from support.state import State, containers, current_release, difference, operations, releases, state_of

CANCELLED = 130
WEB = "paas-test/web"
BEFORE_HEALTH = "-----> Deploying web"


@pytest.fixture(scope="module")
def gated(make_image: MakeImage) -> str:
    """An image whose processes become healthy when the test says so."""
    return make_image("gated", GATED, "ENV VERSION=gated")


def deploying(door: Door, start: Start, app: str, image: str) -> Client:
    """A git:from-image that waits for its release to become healthy."""
    client = start(door.ssh_command("git:from-image", app, image), door.paas.env)
    client.says(BEFORE_HEALTH)
    return client


def served(door: Door, app: str, image: str = WEB) -> None:
    """A new app that serves an image."""
    door.ssh("apps:create", app).ok()
    door.ssh("git:from-image", app, image).ok()


def same(before: State, paas: Paas, engine: docker.DockerClient) -> None:
    """Wait until everything of the app is as it was."""
    changed: dict[str, object] = {}

    def again() -> bool:
        changed.clear()
        changed.update(difference(before, state_of(paas, engine, before.app)))
        return not changed

    until(again, lambda: changed)


def settled(paas: Paas, app: str) -> dict[str, object]:
    """The newest operation, once it has ended."""
    return until(lambda: (newest := operations(paas, app)[0])["finished_at"] and newest)


def test_changes_take_their_turn_in_order(door: Door, start: Start, gated: str, open_gate: OpenGate) -> None:
    app = f"turns-{door.name}"
    served(door, app)
    deploying(door, start, app, gated)
    first = operations(door.paas, app)[0]["id"]
    waiting = []
    for number in (1, 2, 3):
        client = start(door.ssh_command("config:set", "--no-restart", app, f"N={number}"), door.paas.env)
        client.says(f"-----> Waiting for operation #{first} (git:from-image by admin, running for ")
        waiting.append(client)
    assert [item["status"] for item in operations(door.paas, app)[:4]] == ["queued"] * 3 + ["running"]
    open_gate(app)
    assert [client.ends() for client in waiting] == [0, 0, 0]
    ended = sorted(operations(door.paas, app)[:4], key=lambda item: item["finished_at"])
    assert [item["id"] for item in ended] == [first, first + 1, first + 2, first + 3]
    assert door.ssh("config:get", app, "N").ok() == "3\n"


def test_no_wait_refuses_while_another_change_is_made(
    host: Door, start: Start, gated: str, repo: Repo, open_gate: OpenGate
) -> None:
    served(host, "impatient")
    client = deploying(host, start, "impatient", gated)
    refused = host.ssh("ps:scale", "--no-wait", "impatient", "web=2")
    assert refused.code == 1
    assert re.fullmatch(
        r" !     impatient is being changed by operation #\d+ \(git:from-image by admin, running for \d+ s\)\."
        r" Nothing was changed\. Send the command again without --no-wait to take its turn\n",
        refused.err,
    )
    repo.write({"Dockerfile": f"FROM {WEB}\n"})
    repo.commit()
    pushed = repo.push(host.remote("impatient"), "main:master", host.git_env(), "--force", "-o", "no-wait")
    assert pushed.code == 1
    assert "impatient is being changed by operation #" in pushed.err
    assert "pre-receive hook declined" in pushed.err
    open_gate("impatient")
    assert client.ends() == 0
    assert host.ssh("ps:scale", "impatient").ok().endswith("web:  1\n")


def test_following_prints_the_log_and_exits_like_the_operation(
    door: Door, start: Start, gated: str, open_gate: OpenGate
) -> None:
    app = f"followed-{door.name}"
    served(door, app)
    client = deploying(door, start, app, gated)
    number = str(operations(door.paas, app)[0]["id"])
    follower = start(door.ssh_command("operation:follow", number), door.paas.env)
    follower.says(BEFORE_HEALTH)
    assert follower.process.poll() is None
    open_gate(app)
    assert (client.ends(), follower.ends()) == (0, 0)
    assert "=====> Application deployed:" in follower.text
    assert follower.text == door.ssh("operation:logs", number).ok()
    assert follower.text == client.text
    # One that has ended is told at once, and so is how.
    assert door.ssh("operation:follow", f"#{number}").ok() == follower.text
    assert door.ssh("git:from-image", app, "paas-test/none").code == 1
    failed = str(operations(door.paas, app)[0]["id"])
    told = door.ssh("operation:follow", failed)
    assert told.code == 1
    assert f" !     Operation #{failed} failed: Failed to pull image: paas-test/none" in told.err
    ended = door.ssh("operation:cancel", number)
    assert (ended.code, ended.err) == (
        1,
        f" !     Operation #{number} has already succeeded. Read its log with operation:logs {number}\n",
    )


def test_leaving_a_follower_leaves_the_operation_alone(
    host: Door, start: Start, gated: str, open_gate: OpenGate
) -> None:
    served(host, "watched")
    client = deploying(host, start, "watched", gated)
    number = str(operations(host.paas, "watched")[0]["id"])
    follower = start(host.ssh_command("operation:follow", number), host.paas.env)
    follower.says(BEFORE_HEALTH)
    follower.send(signal.SIGINT)
    follower.ends()
    open_gate("watched")
    assert client.ends() == 0
    assert host.paas.http_get("watched").body.endswith("version gated</h1>\n")


def from_image(door: Door, start: Start, app: str, image: str, folder: Path) -> Client:
    return deploying(door, start, app, image)


def load_image(door: Door, start: Start, app: str, image: str, folder: Path) -> Client:
    """A git:load-image whose archive has arrived whole, and that waits for its release to become healthy."""
    archive = folder / "image.tar"
    subprocess.run(["docker", "image", "save", "-o", str(archive), image], check=True)
    with archive.open("rb") as stream:
        client = start(door.ssh_command("git:load-image", app, image), door.paas.env, stdin=stream)
    client.says(BEFORE_HEALTH)
    return client


def load_half(door: Door, start: Start, app: str, image: str, folder: Path) -> Client:
    """A git:load-image in the middle of its archive."""
    archive = folder / "image.tar"
    subprocess.run(["docker", "image", "save", "-o", str(archive), image], check=True)
    client = start(door.ssh_command("git:load-image", app, image), door.paas.env, stdin=subprocess.PIPE)
    assert client.process.stdin
    data = archive.read_bytes()
    client.process.stdin.write(data[: len(data) // 2])
    client.process.stdin.flush()
    until(lambda: [item for item in operations(door.paas, app) if item["kind"] == "git:load-image"])
    return client


def push(door: Door, start: Start, app: str, image: str, folder: Path) -> Client:
    repo = Repo(folder / "work")
    repo.write({"Dockerfile": f"FROM {image}\nENV PUSHED=1\n"})
    repo.commit()
    words = ["git", "push", "--force", door.remote(app), "main:master"]
    client = start(words, door.git_env(), cwd=repo.path)
    client.says(BEFORE_HEALTH)
    return client


Way = Callable[[Door, Start, str, str, Path], Client]
WAYS: list[Way] = [from_image, load_image, load_half, push]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_is_cancelled_before_the_switch_leaves_nothing(
    host: Door, start: Start, gated: str, engine: docker.DockerClient, tmp_path: Path, way: Way
) -> None:
    paas, app = host.paas, f"cancelled-{way.__name__.replace('_', '-')}"
    served(host, app)
    before = state_of(paas, engine, app)
    client = way(host, start, app, gated, tmp_path)
    number = operations(paas, app)[0]["id"]
    told = host.ssh("operation:cancel", str(number)).ok()
    assert re.fullmatch(rf"-----> Requesting cancellation on running \S+ #{number} on {app}\.\.\.\n", told)
    assert client.ends() == (1 if way is push else CANCELLED)
    assert " !     Cancelled (by operation:cancel" in client.text
    undone(host, before, engine, number)


def undone(door: Door, before: State, engine: docker.DockerClient, number: int) -> None:
    """Everything is as before, the operation says cancelled, and the next change does not wait."""
    record = settled(door.paas, before.app)
    assert (record["id"], record["status"]) == (number, "cancelled")
    assert "!     Cancelled: " in door.paas.command("operation:logs", str(number)).ok()
    same(before, door.paas, engine)
    assert door.ssh("ps:scale", "--no-wait", before.app, "web=1").code == 0


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_what_loses_its_client_before_the_switch_leaves_nothing(
    door: Door,
    start: Start,
    gated: str,
    engine: docker.DockerClient,
    tmp_path: Path,
    way: Way,
    how: str,
) -> None:
    """Ctrl-C and kill -9 of the client."""
    paas = door.paas
    app = f"{how}-{way.__name__.replace('_', '-')}-{door.name}"
    served(door, app)
    before = state_of(paas, engine, app)
    client = way(door, start, app, gated, tmp_path)
    number = operations(paas, app)[0]["id"]
    assert paas.http_get(app).body == before.body
    client.send(signal.SIGINT if how == "interrupted" else signal.SIGKILL)
    assert client.ends() != 0
    undone(door, before, engine, number)


def test_ctrl_c_on_a_terminal_says_that_it_was_cancelled(
    door: Door, start: Start, gated: str, engine: docker.DockerClient
) -> None:
    app = f"typed-{door.name}"
    served(door, app)
    before = state_of(door.paas, engine, app)
    client = start(
        door.ssh_command("git:from-image", app, gated, tty=True), door.paas.env, stdin=subprocess.PIPE
    )
    client.says(BEFORE_HEALTH)
    assert client.process.stdin
    client.process.stdin.write(b"\x03")
    client.process.stdin.flush()
    assert client.ends() == CANCELLED
    assert " !     Cancelled (Ctrl-C). Nothing was changed" in client.text
    assert settled(door.paas, app)["status"] == "cancelled"
    same(before, door.paas, engine)


def pid_of(paas: Paas, operation: int) -> int:
    """The process that performs an operation."""
    with contextlib.closing(sqlite3.connect(f"file:{paas.root}/paas.db?mode=ro", uri=True)) as database:
        return int(database.execute("SELECT pid FROM operations WHERE id = ?", (operation,)).fetchone()[0])


def test_kill_9_of_the_command_is_undone(
    host: Door, start: Start, gated: str, engine: docker.DockerClient
) -> None:
    paas, app = host.paas, "killed-9"
    served(host, app)
    before = state_of(paas, engine, app)
    client = deploying(host, start, app, gated)
    number = operations(paas, app)[0]["id"]
    until(lambda: len(containers(paas, engine, app)) == 2)
    os.kill(pid_of(paas, number), signal.SIGKILL)
    assert client.ends() == 1
    assert paas.http_get(app).body == before.body
    # The next command finds the lock free and undoes what is left.
    host.ssh("config:set", "--no-restart", app, "NEXT=1").ok()
    record = operations(paas, app)[1]
    assert (record["id"], record["status"]) == (number, "failed")
    same(before, paas, engine)
    assert [item["status"] for item in releases(paas, app)] == ["failed", "succeeded"]


def test_kill_9_of_a_pushs_hook_refuses_the_push(
    door: Door, start: Start, gated: str, engine: docker.DockerClient, tmp_path: Path
) -> None:
    app = f"hook-killed-{door.name}"
    served(door, app)
    before = state_of(door.paas, engine, app)
    client = push(door, start, app, gated, tmp_path)
    number = operations(door.paas, app)[0]["id"]
    os.kill(pid_of(door.paas, number), signal.SIGKILL)
    assert client.ends() == 1
    assert "pre-receive hook declined" in client.text
    follow = door.ssh("operation:follow", str(number))
    assert (follow.code, follow.err.count("\n")) == (1, 1)
    door.ssh("ps:scale", "--no-wait", app, "web=1").ok()
    assert operations(door.paas, app)[1]["status"] == "failed"
    same(before, door.paas, engine)


def test_who_what_and_when(door: Door) -> None:
    app = f"told-{door.name}"
    served(door, app)
    door.paas.command("ps:scale", app, "web=2").ok()
    listed = operations(door.paas, app)
    assert [(item["kind"], item["words"], item["caller"], item["door"], item["status"]) for item in listed] == [
        ("ps:scale", "web=2", "root", "host", "succeeded"),
        ("git:from-image", WEB, "admin", "ssh", "succeeded"),
        ("apps:create", "", "admin", "ssh", "succeeded"),
    ]
    # To make an app waits for nothing: it begins when it is asked for.
    assert all(item["created_at"] <= (item["started_at"] or item["created_at"]) <= item["finished_at"] for item in listed)
    assert current_release(door.paas, app)["operation"] == listed[1]["id"]  # type: ignore[index]
    shown = door.ssh("operations", app, "-n", "1").ok().splitlines()
    assert shown[0] == "=====> Operations"
    assert re.fullmatch(
        rf"\d+ +{app} +ps:scale web=2 +root +\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d +\d+\.\d s +succeeded", shown[2]
    )
    assert len(shown) == 3


def test_no_secret_is_written_down(door: Door, repo: Repo, engine: docker.DockerClient) -> None:
    paas, app = door.paas, f"secretive-{door.name}"
    secret = f"plant-{door.name}-5ecre7"
    served(door, app)
    printed = [
        door.ssh("config:set", "--no-restart", app, f"A={secret}"),
        door.ssh("config:set", app, f"B={secret}"),
        door.ssh("deploy", "--app", app, "--docker-image", WEB, f"C={secret}"),
        door.ssh("run", app, "/bin/busybox", "true"),
        door.ssh("config:unset", app, "A"),
        door.ssh("config:set", app, f"bad-key={secret}"),
    ]
    assert [result.code for result in printed] == [0, 0, 0, 0, 0, 1]
    repo.write({"Dockerfile": f"FROM {WEB}\nENV PUSHED=1\n"})
    repo.commit()
    repo.push(door.remote(app), "main:master", door.git_env(), "--force").ok()
    assert door.ssh("config:get", app, "B").ok() == f"{secret}\n"
    words = [item["words"] for item in operations(paas, app) if "C=" in item["words"]]
    assert words == [f"--docker-image {WEB} C=********"]
    assert secret not in paas.command("operations", app, "--format", "json").ok()
    for record in operations(paas, app):
        assert secret not in paas.command("operation:logs", str(record["id"])).ok()
    written = [path for path in paas.root.rglob("*") if path.is_file() and not path.is_socket()]
    assert any(path.name == "paas.db" for path in written)
    assert [str(path) for path in written if secret.encode() in path.read_bytes()] == []
    assert secret not in paas.log.read_text()
    for tag in engine.images.list(f"paas-*/{app}"):
        assert secret not in str(tag.history())
