"""Domains, ports and the proxy with real requests, and what the engine says of the containers behind them."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from support.clients import until
from support.doors import Door
from support.server import Paas, free_port

pytestmark = pytest.mark.usefixtures("image_names")


def get(port: int, host: str) -> int:
    """The status that a port of the host answers with."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/", headers={"Host": host})
        return connection.getresponse().status


def containers(engine: docker.DockerClient, paas: Paas, app: str) -> list[dict[str, Any]]:
    labels = {"label": [f"paas.root={paas.root}", f"paas.app={app}"], "status": "running"}
    return [engine.api.inspect_container(item["Id"]) for item in engine.api.containers(filters=labels)]


@pytest.fixture(scope="module")
def shop(paas: Paas, image_names: dict[str, str]) -> Iterator[str]:
    """An app that serves."""
    paas.command("apps:create", "shop").ok()
    paas.command("checks:set", "shop", "wait-to-retire", "5").ok()
    paas.command("git:from-image", "shop", image_names["web"]).ok()
    yield "shop"


def test_a_port_of_the_host_leads_to_the_mapped_port_at_once(paas: Paas, host: Door, shop: str) -> None:
    http_port, tcp_port = free_port(), free_port()
    host.ssh("ports:set", shop, "http:80:5000", f"http:{http_port}:5000", f"tcp:{tcp_port}:5000").ok()
    assert get(http_port, "shop.localhost") == 200
    assert get(http_port, "other.localhost") == 404
    # No HTTP is read on a tcp port: no host name is asked for.
    assert get(tcp_port, "whatever") == 200
    assert paas.http_get(shop).status == 200
    places = f"http://shop.localhost:{paas.http_port}", f"http://shop.localhost:{http_port}"
    assert host.ssh("urls", shop).ok().split() == [*sorted(places), f"tcp://shop.localhost:{tcp_port}"]
    host.ssh("domains:add", shop, "shop.example").ok()
    assert get(http_port, "shop.example") == 200
    host.ssh("ps:restart", shop).ok()
    assert [get(http_port, "shop.example"), get(tcp_port, "x")] == [200, 200]
    host.ssh("ports:clear", shop).ok()
    for port in (http_port, tcp_port):
        with pytest.raises(ConnectionRefusedError):
            get(port, "shop.localhost")
    assert paas.http_get(shop).status == 200


def test_a_port_that_another_program_holds_is_refused_and_nothing_changes(host: Door, shop: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        refused = host.ssh("ports:add", shop, f"tcp:{port}:5000")
    assert refused.code == 1
    assert refused.err == (
        f" !     The router can't listen on host port {port}: Address already in use. Nothing was changed."
        " Choose another one, or stop what holds it\n"
    )
    assert host.ssh("ports:list", shop).code == 1
    assert host.ssh("ports:add", shop, f"tcp:{host.paas.http_port}:5000").err == (
        f" !     Host port {host.paas.http_port} is the router's own. Nothing was changed. Choose another one\n"
    )


def test_the_container_port_is_what_port_says(
    paas: Paas, host: Door, shop: str, engine: docker.DockerClient
) -> None:
    host.ssh("ports:set", shop, "http:80:7321").ok()
    assert paas.http_get(shop).status == 200  # the running process is asked where it listens
    host.ssh("ps:restart", shop).ok()
    environments = [item["Config"]["Env"] for item in containers(engine, paas, shop)]
    assert any("PORT=7321" in environment for environment in environments)
    assert paas.http_get(shop).status == 200
    host.ssh("ports:clear", shop).ok()
    assert paas.http_get(shop).status == 200


def test_an_app_without_domains_has_a_port_for_itself(paas: Paas, host: Door, shop: str) -> None:
    host.ssh("domains:disable", shop).ok()
    assert paas.http_get(shop).status == 404
    url = host.ssh("url", shop).ok().strip()
    port = int(url.rpartition(":")[2])
    assert url == f"http://localhost:{port}"
    assert get(port, "any.host.example") == 200
    host.ssh("domains:disable", shop).ok()
    assert host.ssh("url", shop).ok().strip() == url
    host.ssh("domains:enable", shop).ok()
    assert paas.http_get(shop).status == 200


def test_without_a_global_domain_new_apps_get_a_port(paas: Paas, host: Door, image_names: dict[str, str]) -> None:
    host.ssh("domains:clear-global").ok()
    try:
        created = host.ssh("apps:create", "nowhere").ok()
        deployed = host.ssh("git:from-image", "nowhere", image_names["web"]).ok()
        port = int(host.ssh("url", "nowhere").ok().strip().rpartition(":")[2])
    finally:
        host.ssh("domains:set-global", "localhost").ok()
    assert created == (
        "-----> Creating nowhere...\n-----> Global server virtual host not set, disabling app vhost...\n"
    )
    assert f"-----> No port set, setting to random open high port\n-----> Random port {port}\n" in deployed
    assert get(port, "whatever.example") == 200
    assert paas.http_get("nowhere").status == 404
    host.ssh("domains:reset", "nowhere").ok()
    assert paas.http_get("nowhere").status == 200


def test_a_disabled_proxy_publishes_on_loopback(
    paas: Paas, host: Door, shop: str, engine: docker.DockerClient
) -> None:
    host.ssh("proxy:disable", shop).ok()
    assert paas.http_get(shop).status == 404
    host.ssh("ps:restart", shop).ok()
    port = int(host.ssh("url", shop).ok().strip().rpartition(":")[2])
    published = [
        item["NetworkSettings"]["Ports"].get("5000/tcp")  # one that was just replaced has none any more
        for item in containers(engine, paas, shop)
    ]
    assert [{"HostIp": "127.0.0.1", "HostPort": str(port)}] in published
    assert get(port, "any.example") == 200
    host.ssh("proxy:enable", shop).ok()
    assert paas.http_get(shop).status == 200
    host.ssh("ps:restart", shop).ok()
    assert paas.http_get(shop).status == 200


def test_disabled_checks_stop_the_old_before_the_new_starts(
    paas: Paas, host: Door, shop: str, engine: docker.DockerClient
) -> None:
    def order() -> list[tuple[str, bool]]:
        """What happened to containers in a restart, each with whether it was the one that had served before."""
        assert until(lambda: len(containers(engine, paas, shop)) == 1)
        (old,) = containers(engine, paas, shop)
        since = time.time()
        host.ssh("ps:restart", shop).ok()
        filters = {"label": [f"paas.root={paas.root}", f"paas.app={shop}"], "event": ["start", "die"]}
        events = engine.api.events(since=since, until=time.time(), filters=filters, decode=True)
        return [(str(event["status"]), event["id"] == old["Id"]) for event in events]

    host.ssh("checks:disable", shop).ok()
    try:
        assert order()[:2] == [("die", True), ("start", False)]
    finally:
        host.ssh("checks:enable", shop).ok()
    assert order()[:1] == [("start", False)]
    assert paas.http_get(shop).status == 200


def test_commands_about_the_router_in_the_middle_of_restarts_cost_no_request(
    paas: Paas, host: Door, shop: str
) -> None:
    """Whoever tells the router something older than what a rollout has told it would bring a stopped process back."""
    failed: list[object] = []
    done = threading.Event()
    answered = 0

    def load() -> None:
        nonlocal answered
        while not done.is_set():
            try:
                status = get(paas.http_port, "shop.localhost")
            except OSError as error:
                failed.append(error)
            else:
                answered += 1
                if status != 200:
                    failed.append(status)

    def disturb() -> None:
        number = 0
        while not done.is_set():
            number += 1
            if paas.command("domains:add", shop, f"n{number}.example").code:
                failed.append("domains:add")
            paas.command("proxy:build-config", "--all")

    threads = [threading.Thread(target=load), threading.Thread(target=disturb)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            host.ssh("ps:restart", shop).ok()
        assert until(lambda: answered > 100)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert paas.http_get("n1.example").status == 200
