"""The engine's data folder on a full disk: the engine is a private one, on a small file system of its own."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

import pytest
from support import doors
from support.private_engine import PrivateEngine, private_engine
from support.repo import Repo
from support.server import Paas, Result, run, running_paas
from support.small_disk import SmallDisk
from support.state import current_release

WEB, STATIC, SHELL = "paas-test/web", "paas-test/static", "paas-test/shell"
MEGABYTES = 160
BIG = f"FROM {SHELL}\nRUN dd if=/dev/zero of=/big bs=1000000 count=60\n"


@pytest.fixture(scope="module")
def small(image_names: dict[str, str]) -> Iterator[PrivateEngine]:
    with private_engine([WEB, SHELL], disk_megabytes=MEGABYTES) as started:
        yield started


@pytest.fixture(scope="module")
def paas(small: PrivateEngine) -> Iterator[Paas]:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running_paas(small.within, DOCKER_HOST=small.host))
        server.command("apps:create", "full").ok()
        server.command("git:from-image", "full", WEB).ok()
        yield server


@pytest.fixture
def disk(small: PrivateEngine) -> Iterator[SmallDisk]:
    assert small.disk
    yield small.disk
    small.disk.free()


def push(small: PrivateEngine, paas: Paas, repo: Repo) -> Result:
    env = doors.embedded(paas).git_env()
    return run([*small.within, "git", "push", "--force", doors.embedded(paas).remote("full"), "main:master"], env=env, cwd=repo.path)


def test_a_disk_of_the_engine_without_room(small: PrivateEngine, paas: Paas, disk: SmallDisk, repo: Repo) -> None:
    repo.write({"Dockerfile": BIG})
    repo.commit()
    archive = subprocess.run(["docker", "image", "save", STATIC], capture_output=True, check=True).stdout
    paas.command("disk:set", "--global", "min-free", "20m").ok()
    disk.fill(leave=10_000_000)
    before = current_release(paas, "full")
    report = paas.command("disk:report").ok()
    assert str(disk.path) in report and "the Docker Engine" in report

    attempts = (lambda: push(small, paas, repo), lambda: paas.command("git:load-image", "full", STATIC, input=archive))
    for attempt in attempts:
        refused = attempt()
        text = refused.out + refused.err
        assert refused.code == 1 and f"There is too little free space at {disk.path} (the Docker Engine)" in text, text
        assert "20.0 MB have to be" in text
    assert current_release(paas, "full") == before

    # It becomes full only while the engine is at work.
    paas.command("disk:set", "--global", "min-free", "0").ok()
    disk.fill()
    failed = paas.command("git:load-image", "full", STATIC, input=archive)
    assert failed.code == 1 and "The engine's disk is full" in failed.err, failed
    disk.free()
    disk.fill(leave=10_000_000)
    failed = push(small, paas, repo)
    text = failed.out + failed.err
    assert failed.code == 1 and "Traceback" not in text and "Internal error" not in text, text
    assert "The engine's disk is full" in text, text
    assert current_release(paas, "full") == before
    assert small.inside(lambda: paas.http_get("full")).status == 200
    assert paas.command("doctor").code == 0

    disk.free()
    paas.command("git:load-image", "full", STATIC, input=archive).ok()
    assert push(small, paas, repo).code == 0
    assert current_release(paas, "full") != before
