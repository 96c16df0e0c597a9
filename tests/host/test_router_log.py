"""The requests that a real HAProxy tells of: newest ones, followed through a reload, and counts."""

from __future__ import annotations

import contextlib
import queue
import threading

import pytest
from test_router_support import Proxy, Start, proxies, request, route, upstreams

from paas.router import Routes
from paas.router.requests import Request

proxy = pytest.fixture(proxies, name="proxy")
upstream = pytest.fixture(upstreams, name="upstream")


def test_each_app_has_its_own_requests(proxy: Proxy, upstream: Start) -> None:
    proxy.apply(route(1, "a.test", upstream("web.1.a")), route(2, "b.test", upstream("web.1.b")), route(3, "c.test"))
    with contextlib.closing(proxy.connect()) as connection:
        assert request(connection, "a.test", '/one?x="y"')[0] == 200
        assert request(connection, "b.test", "/two")[0] == 200
        assert request(connection, "a.test", "/three", body=b"x" * 10)[0] == 200
        assert request(connection, "c.test")[0] == 503
        assert request(connection, "nobody.test")[0] == 404
    found = proxy.router.requests(1)
    assert [(item.server, item.status, item.host) for item in found] == [("web.1.a", 200, "a.test")] * 2
    assert [item.line.split(" ")[0] for item in found] == ["GET", "POST"]
    assert all(0 <= item.response_ms <= item.total_ms < 10_000 for item in found)
    assert [item.server for item in proxy.router.requests(3)] == ["<NOSRV>"]
    traffic = proxy.router.traffic()
    assert (traffic[1].requests, traffic[1].errors, traffic[1].sample) == (2, 0, 2)
    assert (traffic[3].requests, traffic[3].errors) == (1, 1)
    for slot in (1, 2, 3):
        assert proxy.router.traffic(slot) == {slot: traffic[slot]}
    assert proxy.router.traffic(9999) == {}


def test_following_goes_on_after_a_reload(proxy: Proxy, upstream: Start) -> None:
    app = route(1, "a.test", upstream("a"))
    proxy.apply(app)
    seen: queue.Queue[Request] = queue.Queue()

    def follow() -> None:
        for item in proxy.router.follow_requests(1):
            seen.put(item)

    threading.Thread(target=follow, daemon=True).start()

    def asked(path: str) -> None:
        """Ask until the follower has seen it: it may not listen yet."""
        for _ in range(200):
            with contextlib.closing(proxy.connect()) as connection:
                assert request(connection, "a.test", path)[0] == 200
            with contextlib.suppress(queue.Empty):
                while not seen.get(timeout=0.1).line.startswith(f"GET {path} "):
                    pass
                return
        raise AssertionError(f"{path} was not seen")

    asked("/before")
    proxy.router.reload(Routes((app,)))
    asked("/after")
