"""PAAS_ROOT on a full disk: every command that has to write says so and ends with 1, what serves goes on serving, and
with room again the same command works."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import docker
import pytest
from support import doors
from support.clients import until
from support.doors import Door
from support.repo import Repo
from support.server import Paas, Result
from support.small_disk import SmallDisk
from support.state import operations, releases

WEB, STATIC = "paas-test/web", "paas-test/static"


@pytest.fixture(scope="module")
def serving(paas: Paas) -> Door:
    """An app that serves throughout."""
    host = doors.embedded(paas)
    host.ssh("apps:create", "full").ok()
    host.ssh("git:from-image", "full", WEB).ok()
    return host


@pytest.fixture(autouse=True)
def room_again(disk: SmallDisk) -> Iterator[None]:
    yield
    disk.free()


@pytest.fixture
def archive() -> bytes:
    return subprocess.run(["docker", "image", "save", STATIC], capture_output=True, check=True).stdout


def pushed(host: Door, repo: Repo) -> Callable[[], Result]:
    repo.write({"Dockerfile": f"FROM {STATIC}\nCOPY big /big\n", "big": b"x" * 300_000})
    repo.commit()
    return lambda: repo.push(host.remote("full"), "main:master", host.git_env(), "--force")


def still_serves(paas: Paas) -> None:
    assert paas.http_get("full").status == 200


def test_too_little_room_is_refused_with_the_figures(serving: Door, disk: SmallDisk, repo: Repo, archive: bytes) -> None:
    paas = serving.paas
    paas.command("disk:set", "--global", "min-free", "20m").ok()
    before = len(releases(paas, "full"))
    disk.fill(leave=5_000_000)
    for attempt in (pushed(serving, repo), lambda: serving.ssh("git:load-image", "full", STATIC, input=archive)):
        refused = attempt()
        text = refused.out + refused.err
        assert refused.code == 1, text
        assert "There is too little free space at" in text and "20.0 MB have to be. Nothing was changed" in text
        still_serves(paas)
    # What needs no room for images goes on.
    serving.ssh("config:set", "full", "SMALL=1").ok()
    disk.free()
    assert len(releases(paas, "full")) == before + 1
    pushed(serving, repo)().ok()


WAYS = {
    "config:set": lambda host: host.ssh("config:set", "full", "A=1"),
    "apps:create": lambda host: host.ssh("apps:create", "another"),
    "from-image": lambda host: host.ssh("git:from-image", "full", STATIC),
    "domains:add": lambda host: host.ssh("domains:add", "full", "full.example.com"),
    "scale": lambda host: host.ssh("ps:scale", "full", "web=2"),
}


@pytest.mark.parametrize("way", ["push", "load-image", *WAYS])
def test_no_room_at_all(serving: Door, disk: SmallDisk, repo: Repo, archive: bytes, way: str, engine: docker.DockerClient) -> None:
    paas = serving.paas
    paas.command("disk:set", "--global", "min-free", "0").ok()
    if way == "push":
        attempt = pushed(serving, repo)
    elif way == "load-image":
        attempt = lambda: serving.ssh("git:load-image", "full", STATIC, input=archive)  # noqa: E731
    else:
        attempt = lambda: WAYS[way](serving)  # noqa: E731
    disk.fill()
    failed = attempt()
    text = failed.out + failed.err
    # git ends with 128 where the other side refuses before it has listened.
    assert failed.code == (128 if way == "push" else 1), text
    assert "Internal error" not in text and "Traceback" not in text, text
    wanted = "There is too little free space at" if way == "push" else "database or disk is full. Nothing was changed"
    assert wanted in text, text
    still_serves(paas)
    # What only reads still answers.
    assert "full" in serving.ssh("apps:list").ok()
    assert "full" in serving.ssh("ps:report", "full").ok()
    disk.free()
    attempt().ok()
    still_serves(paas)
    until(lambda: {item["status"] for item in operations(paas, "full")} <= {"succeeded", "failed"})
    # What an image was read from is removed right after the deploy.
    created = {"label": [f"paas.root={paas.root}"], "status": "created"}
    until(lambda: not engine.api.containers(all=True, filters=created))
    if way == "scale":
        serving.ssh("ps:scale", "full", "web=1").ok()
