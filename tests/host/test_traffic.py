"""No request is lost, whatever an app goes through, and a process that dies is out of rotation.

The run with a hundred changes is `bench.traffic`; here is one change of each kind, with the same clients.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from support.changes import SHARES, Changes
from support.clients import until
from support.in_step import check_in_step
from support.load import EventStream, Load, Websocket
from support.server import Paas
from support.under_load import under_load

CLIENTS = {"get": 2, "post": 2, "new": 1, "h2": 1, "slow": 1, "upload": 1, "websocket": 2, "events": 2}
DRAIN_SECONDS = 4
QUICK = {"slow_seconds": 2, "upload_mb": 8, "upload_seconds": 2, "pause": 2.0}


@pytest.fixture(scope="module")
def changes(
    paas: Paas, image_names: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Changes]:
    """An app that takes every kind of request."""
    folder: Path = tmp_path_factory.mktemp("certificates")
    made = Changes(paas, "traffic", folder, f"paas-test-{os.getpid()}", DRAIN_SECONDS)
    try:
        made.set_up()
        yield made
    finally:
        made.tear_down()


def test_no_request_is_lost_by_any_kind_of_change(paas: Paas, changes: Changes, engine: docker.DockerClient) -> None:
    with under_load(paas, "traffic.localhost", CLIENTS, who="traffic", **QUICK) as load:
        for kind in (*SHARES, "scale", "domains"):
            changes.do(kind)
            check_in_step(paas)
        labels = {"label": [f"paas.root={paas.root}"]}
        # What was replaced is gone; its streams were told before.
        until(lambda: len(engine.api.containers(filters=labels)) == 1)
        results = load.stop()
    assert load.misses == []
    assert all(row["requests"] for row in results.values())
    assert results["websocket"]["ended"] and results["events"]["ended"]


def test_streams_get_the_drain_time_and_then_a_goodbye(paas: Paas, changes: Changes) -> None:
    load = Load(paas.http_port, "traffic.localhost", {}, who="traffic")

    async def follow() -> None:
        socket, events = Websocket(load), EventStream(load)
        streams = ((socket, socket.echo), (events, events.follow))
        for stream, go_on in streams:
            await stream.open()
            await go_on()
        await asyncio.to_thread(changes.do, "restart")
        for stream, go_on in streams:
            await go_on()
            assert not stream.ended, "the process was replaced, but its streams go on"
        for stream, go_on in streams:
            while not stream.ended:
                await go_on()
            stream.connection.close()

    asyncio.run(follow())


def test_a_process_that_dies_is_out_of_rotation_and_its_requests_go_to_another(
    paas: Paas, changes: Changes, engine: docker.DockerClient
) -> None:
    paas.command("ps:scale", "traffic", "web=2").ok()
    labels = {"label": [f"paas.root={paas.root}"], "status": "running"}
    # The router is back where it was after each: what was killed is started again.
    with under_load(paas, "traffic.localhost", {"get": 4, "new": 2}, who="traffic") as load:
        for _ in range(2):
            first = engine.api.containers(filters=labels)[0]["Id"]
            engine.api.kill(first)
            until(lambda first=first: engine.api.inspect_container(first)["State"]["Running"])  # type: ignore[misc]
            until(lambda: _serving(paas) == 2)
            check_in_step(paas)
        load.stop()
    assert load.misses == []


def _serving(paas: Paas) -> int:
    """How many servers the router's file has."""
    text = (paas.root / "router" / "haproxy.cfg").read_text()
    return sum(line.startswith("    server web.") for line in text.splitlines())
