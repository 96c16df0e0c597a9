"""A real HAProxy in front of real servers: who answers for which host, with what headers, at what cost."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from test_router_support import (
    Proxy,
    Start,
    proxies,
    request,
    route,
    upstreams,
)

from paas.router import Routes

proxy = pytest.fixture(proxies, name="proxy")
upstream = pytest.fixture(upstreams, name="upstream")


def test_an_unknown_host_gets_a_404_that_names_nobody(proxy: Proxy, upstream: Start) -> None:
    proxy.apply(route(1, "blog.example.org", upstream("blog")))
    for host in ("other.example.org", "example.org", "127.0.0.1", "[::1]:80", "*.example.org", ""):
        status, page = proxy.get(host)
        assert status == 404
        assert "nothing at this address" in page and "app" not in page and "blog" not in page


def test_domains_wildcards_case_and_ports(proxy: Proxy, upstream: Start) -> None:
    proxy.apply(
        route(1, "blog.example.org www.blog.org *.example.org", upstream("blog")),
        route(2, "*.api.example.org", upstream("api")),
        route(3, "x.api.example.org", upstream("exact")),
    )
    for host, who in {
        "blog.example.org": "blog",
        "BLOG.Example.ORG:8080": "blog",
        "blog.example.org.": "blog",
        "www.blog.org": "blog",
        "anything.example.org": "blog",
        "two.labels.example.org": "blog",
        "v1.api.example.org": "api",
        "a.b.c.d.e.api.example.org:1": "api",
        "x.api.example.org": "exact",
        "api.example.org": "blog",
    }.items():
        assert proxy.get(host) == (200, who), host
    assert proxy.get("example.org")[0] == 404
    assert proxy.get("notexample.org")[0] == 404


def test_no_servers_or_dead_ones_give_a_503_page(proxy: Proxy, upstream: Start) -> None:
    dead = upstream("dead")
    dead.shutdown()
    dead.server_close()
    proxy.apply(route(1, "none.localhost"), route(2, "dead.localhost", dead))
    for host in ("none.localhost", "dead.localhost"):
        status, page = proxy.get(host)
        assert status == 503 and "Not available right now" in page


def test_a_dead_server_costs_no_request_while_another_lives(proxy: Proxy, upstream: Start) -> None:
    dead, alive = upstream("dead"), upstream("alive")
    dead.shutdown()
    dead.server_close()
    proxy.apply(route(1, "a.localhost", dead, alive))
    with contextlib.closing(proxy.connect()) as connection:
        for body in (None, b"data") * 10:
            assert request(connection, "a.localhost", body=body) == (200, "alive")


def test_forwarded_headers_are_ours_alone(proxy: Proxy, upstream: Start) -> None:
    proxy.apply(route(1, "a.localhost", upstream("a")))
    forged = dict.fromkeys(
        (
            *("X-Forwarded-For", "X-FORWARDED-PROTO", "X_Forwarded_Proto", "X-Forwarded-Host", "x-real-ip"),
            *("Forwarded", "Proxy", "X-Request-Start", "X-Aptible-Health-Check"),
        ),
        "forged",
    )
    with contextlib.closing(proxy.connect()) as connection:
        connection.request("GET", "/", headers={"Host": "a.localhost", "X-Mine": "kept", **forged})
        headers: dict[str, Any] = json.loads(connection.getresponse().read())["headers"]
    assert "forged" not in headers.values()
    got = {name.lower(): value for name, value in headers.items()}
    assert got["x-mine"] == "kept" and got["host"] == "a.localhost"
    assert got["x-forwarded-for"] == "127.0.0.1"
    assert got["x-forwarded-proto"] == "http" and got["x-forwarded-port"] == str(proxy.port)
    assert abs(int(got["x-request-start"].removeprefix("t=")) / 1000 - time.time()) < 60


def test_a_root_with_a_long_path(tmp_path: Path, upstream: Start) -> None:
    """Longer than a socket's path may be."""
    root = tmp_path / ("long and spaced " * 8)
    root.mkdir()
    proxy = Proxy(root)
    proxy.router.write(Routes())
    proxy.start()
    try:
        assert len(str(proxy.settings.run_dir)) > 108
        proxy.apply(route(1, "a.localhost", upstream("a")))
        assert proxy.get("a.localhost") == (200, "a")
        assert proxy.router.reload(Routes()).reloaded is False  # the difference needed none
        assert proxy.get("a.localhost")[0] == 404
    finally:
        proxy.stop()
