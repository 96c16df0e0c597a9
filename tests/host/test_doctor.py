"""doctor on a machine on which one thing after the other is broken: it says which, and its command mends it."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Iterator

import docker
import pytest
from support.clients import until
from support.server import Paas, running_paas

WEB = "paas-test/web"


@pytest.fixture(scope="module")
def paas(image_names: dict[str, str]) -> Iterator[Paas]:
    with running_paas() as server:
        # The disk of the machine that tests run on is not what this is about.
        server.command("disk:set", "--global", "min-free", "0").ok()
        server.command("apps:create", "well").ok()
        server.command("git:from-image", "well", image_names["web"]).ok()
        yield server


def findings(paas: Paas, code: int) -> dict[str, dict[str, str]]:
    """What is not right, by check."""
    done = paas.command("doctor", "--format", "json")
    assert done.code == code, done
    return {item["check"]: item for item in json.loads(done.out) if item["level"] == "problem"}


def mend(paas: Paas, finding: dict[str, str]) -> None:
    """Do what doctor says."""
    for command in finding["mend"].split("; "):
        words = shlex.split(command)
        assert words[0] == "paas"
        paas.command(*words[1:]).ok()


def test_a_sound_machine(paas: Paas) -> None:
    assert findings(paas, 0) == {}
    text = paas.command("doctor", "--all").ok()
    for check in ("engine", "disk", "database", "dispatcher", "agent", "ssh", "router", "http", "apps", "images", "files", "keys"):
        assert f"ok: {check}: " in text
    assert "0 problems" in text


def test_a_container_that_is_gone(paas: Paas, engine: docker.DockerClient) -> None:
    [found] = engine.api.containers(filters={"label": [f"paas.root={paas.root}", "paas.app=well"]})
    engine.api.remove_container(found["Id"], force=True)
    finding = findings(paas, 1)["app"]
    assert "well: the container of web.1 is gone" in finding["text"]
    mend(paas, finding)
    assert findings(paas, 0) == {}
    assert paas.http_get("well").status == 200


def test_a_container_that_is_nobody_s(paas: Paas, engine: docker.DockerClient) -> None:
    labels = {"paas.root": str(paas.root), "paas.app": "well", "paas.process": "web.9"}
    left = engine.containers.create(WEB, labels=labels)
    finding = findings(paas, 1)["container"]
    assert finding["mend"] == f"docker rm --force {left.id[:12]}"
    left.remove(force=True)
    assert findings(paas, 0) == {}


def test_an_image_that_is_gone(paas: Paas, engine: docker.DockerClient) -> None:
    tags = [tag for item in engine.api.images() for tag in item["RepoTags"] or () if "/well:" in tag and tag.startswith("paas-")]
    ours = [tag for tag in tags if tag.split("/")[0] in _network(engine, paas)]
    for tag in ours:
        engine.api.remove_image(tag, force=True)
    finding = findings(paas, 1)["image"]
    mend(paas, finding)
    assert findings(paas, 0) == {}


def _network(engine: docker.DockerClient, paas: Paas) -> set[str]:
    return {item.name for item in engine.networks.list(filters={"label": f"paas.root={paas.root}"})}


def test_the_router_out_of_step(paas: Paas) -> None:
    import sqlite3

    with sqlite3.connect(paas.root / "paas.db", isolation_level=None) as database:
        database.execute("INSERT INTO domains SELECT 'late.localhost', id FROM apps WHERE name = 'well'")
    finding = findings(paas, 1)["router"]
    assert "not in step" in finding["text"]
    mend(paas, finding)
    assert findings(paas, 0) == {}
    assert paas.http_get("late.localhost").status == 200


def test_keys_and_modes(paas: Paas) -> None:
    keys = paas.root / ".ssh/authorized_keys"
    keys.write_text(keys.read_text() + "ssh-ed25519 AAAA intruder\n")
    mend(paas, findings(paas, 1)["keys"])
    (paas.root / "secret.key").chmod(0o644)
    finding = findings(paas, 1)["files"]
    assert finding["mend"] == f"chmod 600 {paas.root}/secret.key"
    (paas.root / "secret.key").chmod(0o600)
    assert findings(paas, 0) == {}


def test_domains_and_certificates_are_warned_of(paas: Paas) -> None:
    paas.command("domains:add", "well", "no-such-name.invalid").ok()
    found = json.loads(paas.command("doctor", "--format", "json").ok())
    [name] = [item for item in found if item["check"] == "name"]
    assert name["level"] == "warning" and "no-such-name.invalid (well)" in name["text"]
    paas.command("domains:remove", "well", "no-such-name.invalid").ok()


def test_nothing_runs(paas: Paas) -> None:
    paas.stop(signal.SIGTERM)
    assert {"dispatcher", "agent", "ssh", "router"} <= findings(paas, 1).keys()
    paas.start()
    assert until(lambda: paas.command("doctor").code == 0)
