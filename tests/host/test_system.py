"""What is seen and tidied from outside: builds while they run, events as they happen, cleanup of only what is ours."""

from __future__ import annotations

import io
import json

import docker
import pytest
from conftest import MakeImage, Start
from support.clients import until
from support.doors import Door
from support.gated import GATED
from support.server import Paas
from support.state import operations

WEB = "paas-test/web"


@pytest.fixture(scope="module")
def gated(make_image: MakeImage) -> str:
    return make_image("gated", GATED)


def test_a_running_build_is_listed_read_and_cancelled(host: Door, start: Start, gated: str) -> None:
    host.ssh("apps:create", "building").ok()
    client = start(host.ssh_command("git:from-image", "building", gated), host.paas.env)
    client.says("-----> Deploying web")
    number = str(operations(host.paas, "building")[0]["id"])
    listed = json.loads(host.ssh("builds:list", "--format", "json").ok())
    assert [(item["id"], item["status"], item["exit_code"]) for item in listed] == [(number, "running", None)]
    reader = start(host.ssh_command("builds:output", "building", "current"), host.paas.env)
    reader.says("-----> Deploying web")
    assert "Requesting cancellation" in host.ssh("builds:cancel", "building").ok()
    assert client.ends() != 0
    assert reader.ends() == 0
    assert f"Operation #{number} cancelled: by operation:cancel" in reader.text
    build = json.loads(host.ssh("builds:info", "building", number, "--format", "json").ok())
    assert (build["status"], build["exit_code"]) == ("canceled", 130)
    assert host.ssh("builds:list").ok() == "No builds currently running\n"


def test_events_are_told_as_they_begin_and_end(host: Door, start: Start) -> None:
    host.ssh("apps:create", "watched").ok()
    host.ssh("domains:add", "watched", "before.example.com").ok()
    client = start(host.ssh_command("events", "-t"), host.paas.env)
    client.says("before.example.com on watched by admin (ssh): succeeded")
    host.ssh("domains:add", "watched", "after.example.com").ok()
    client.says("after.example.com on watched by admin (ssh): succeeded")
    host.ssh("git:from-image", "watched", WEB).ok()
    client.says(f"git:from-image {WEB} on watched by admin (ssh): succeeded")
    assert client.process.poll() is None


def test_cleanup_removes_what_is_ours_and_over(paas: Paas, engine: docker.DockerClient, host: Door) -> None:
    host.ssh("apps:create", "tidied").ok()
    host.ssh("git:from-image", "tidied", WEB).ok()
    host.ssh("ps:stop", "tidied").ok()
    host.ssh("ps:start", "tidied").ok()
    done = operations(paas, "tidied")[0]["id"]

    def container(**labels: str) -> str:
        marks = {"paas.root": str(paas.root), "paas.app": "tidied", **labels}
        made = engine.containers.run("paas-test/shell", ["true"], detach=True, labels=marks)
        made.wait()
        return str(made.id)

    def image(root: str) -> str:
        content = f"FROM paas-test/shell\nLABEL paas.root={root} paas.app=tidied\n"
        made, _ = engine.images.build(fileobj=io.BytesIO(content.encode()), rm=True)
        return str(made.id)

    left, others, just_ended = (
        container(**{"paas.operation": str(done)}),
        container(**{"paas.root": "/elsewhere", "paas.operation": str(done)}),
        container(),
    )
    ours, theirs = image(str(paas.root)), image("/elsewhere")
    try:
        # The agent may have removed the container of an operation that is over before we ask.
        told = host.ssh("cleanup", "tidied").ok()
        assert told.endswith(("Removed containers: 0, images: 1\n", "Removed containers: 1, images: 1\n"))
        there = {item["Id"] for item in engine.api.containers(all=True)}
        assert left not in there and {others, just_ended} <= there
        images = {item["Id"] for item in engine.api.images(all=True)}
        assert ours not in images and theirs in images
        assert until(lambda: paas.http_get("tidied").status == 200)
    finally:
        for name in (others, just_ended):
            engine.api.remove_container(name, force=True)
        engine.api.remove_image(theirs)
