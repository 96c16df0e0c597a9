"""ps:* with --all: one app after the other, or several at once; and what boot starts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import docker
import docker.errors
import pytest
from support.clients import until
from support.server import Paas
from support.state import containers, operations

NAMES = ("all-a", "all-b")


@pytest.fixture(scope="module")
def both(paas: Paas, image_names: dict[str, str]) -> Iterator[Paas]:
    paas.command("apps:create", "all-undeployed").ok()
    for name in NAMES:
        paas.command("apps:create", name).ok()
        paas.command("git:from-image", name, image_names["web"]).ok()
    return paas


def test_one_after_the_other(both: Paas) -> None:
    said = both.command("ps:restart", "--all")
    assert said.code == 0
    assert said.err == " !     Running restart in serial mode\n !     App all-undeployed has not been deployed\n"
    lines = said.out.splitlines()
    assert [line for line in lines if "Running" in line] == [
        f"-----> Running restart against app {name}" for name in (*NAMES, "all-undeployed")
    ]
    assert lines.count("-----> Deploying web (count=1)") == 2


def test_at_once(both: Paas) -> None:
    assert both.command("ps:stop", "--all", "--parallel", "2").code == 0
    assert [both.http_get(name).status for name in NAMES] == [503, 503]
    said = both.command("ps:start", "--all", "--parallel", "2")
    assert (said.code, said.err) == (0, " !     Running start in parallel mode (2 at once)\n")
    blocks = said.out.split("-----> Running start against app ")[1:]
    deployed = {block.split("\n")[0]: "All checks successful (web.1)" in block for block in blocks}
    assert deployed == {"all-a": True, "all-b": True, "all-undeployed": False}
    assert [both.http_get(name).status for name in NAMES] == [200, 200]
    assert operations(both, "all-a")[0]["kind"] == "ps:start"


def test_one_that_fails_does_not_keep_the_others_from_it(both: Paas) -> None:
    both.command("apps:lock", "all-a").ok()
    for words in (["--parallel", "1"], ["--parallel", "2"]):
        said = both.command("ps:rebuild", "--all", *words)
        assert said.code == 1
        assert said.err.splitlines()[-1] == " !     rebuild failed for 1 of the apps: all-a"
        assert "all-a currently has a deploy lock in place" in said.err + said.out
        assert operations(both, "all-b")[0]["status"] == "succeeded"
    both.command("apps:unlock", "all-a").ok()


def test_boot_starts_what_is_to_run(both: Paas, engine: docker.DockerClient) -> None:
    both.command("ps:set", "all-a", "restore", "false").ok()
    both.stop()
    for name in NAMES:
        for container, _ in containers(both, engine, name):
            # One that is on its way out may have ended.
            with contextlib.suppress(docker.errors.APIError):
                engine.api.kill(container, "SIGKILL")
    both.start()
    until(lambda: {state for _, state in containers(both, engine, "all-b")} == {"running"})
    assert "running" not in {state for _, state in containers(both, engine, "all-a")}
    assert both.command("ps:report", "all-a", "--running").ok() == "false\n"
    # The report of all says of each what its own says.
    each = [both.command("ps:report", name).ok() for name in (*NAMES, "all-undeployed")]
    assert both.command("ps:report").ok() == "".join(each)
    assert "exited (CID: " in each[0] and "running (CID: " in each[1]
    said = both.command("ps:start", "all-a")
    assert said.err == " !     App has been detected as not running, releasing\n"
    assert both.http_get("all-a").status == 200
