"""A real HAProxy through every kind of change: switch, drain, move, crash, restart, reload. No request is lost."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from functools import partial

import pytest
from support.drains import draining, finish_drains
from test_router_support import (
    Proxy,
    Start,
    Stream,
    proxies,
    request,
    route,
    upstreams,
    wait_until,
)

from paas.router import Route, RouterFailed, Routes, Server
from paas.router.configuration import MASTER_SOCKET
from paas.router.difference import read_servers
from paas.router.runtime import RouterNotRunning, Runtime, ask_once

SWITCHES = 20  # under load
REQUESTS_BETWEEN_SWITCHES = 100

proxy = pytest.fixture(proxies, name="proxy")
upstream = pytest.fixture(upstreams, name="upstream")


def test_no_request_is_lost_while_servers_are_switched(proxy: Proxy, upstream: Start) -> None:
    """Keep-alive clients on the app that is switched and on one that is not."""
    other = route(2, "other.localhost", upstream("other"))
    old = upstream("r0")
    proxy.apply(route(1, "a.localhost", old), other)
    counts, failures, stop = {"a.localhost": 0, "other.localhost": 0}, [], threading.Event()

    def load(host: str, body: bytes | None) -> None:
        with contextlib.closing(proxy.connect()) as connection:
            try:
                while not stop.is_set():
                    status, text = request(connection, host, body=body)
                    assert status == 200, text
                    counts[host] += 1
            except Exception as error:
                failures.append(f"{host}: {error!r}")

    clients = [
        threading.Thread(target=load, args=(host, body)) for host in counts for body in (None, b"x" * 5000)
    ]
    for client in clients:
        client.start()
    try:
        for number in range(1, SWITCHES + 1):
            new = upstream(f"r{number}")
            proxy.apply(route(1, "a.localhost", new), other)
            assert finish_drains(proxy.router, [(1, old.who)], 5) == ()
            old.shutdown()
            old.server_close()  # nothing listens there any more
            assert proxy.get("a.localhost") == (200, new.who)
            old, seen = new, counts["a.localhost"]
            target = seen + REQUESTS_BETWEEN_SWITCHES
            wait_until(partial(lambda target: failures or counts["a.localhost"] > target, target))
    finally:
        stop.set()
        for client in clients:
            client.join()
    print(f"\n{SWITCHES} switches under {counts}: {len(failures)} failed")
    assert failures == []


def test_a_slow_request_is_waited_for_and_a_stream_cut_at_the_deadline(proxy: Proxy, upstream: Start) -> None:
    old, new = upstream("old"), upstream("new")
    proxy.apply(route(1, "a.localhost", old))
    answers: list[tuple[int, str]] = []
    slow = threading.Thread(target=lambda: answers.append(proxy.get("a.localhost", "/slow")))
    slow.start()
    stream = Stream(proxy, "a.localhost")
    wait_until(lambda: not proxy.router.drained(1, "old"))
    proxy.apply(route(1, "a.localhost", new))
    assert draining(proxy.settings) == ((1, "old"),)
    assert proxy.get("a.localhost") == (200, "new")
    assert stream.echoes(b"still here") and not proxy.router.drained(1, "old")
    assert finish_drains(proxy.router, [(1, "old")], 2) == ((1, "old"),)
    slow.join()
    assert answers == [(200, "old")]
    assert stream.ended()
    stream.close()
    assert draining(proxy.settings) == ()
    assert proxy.router.drained(1, "old")
    proxy.router.remove(1, "old")  # again: fine


def test_a_server_comes_back_from_drain_and_moves_to_another_address(proxy: Proxy, upstream: Start) -> None:
    one, two = upstream("one"), upstream("two")
    proxy.apply(route(1, "a.localhost", one))
    proxy.apply(route(1, "a.localhost"))
    assert proxy.get("a.localhost")[0] == 503
    proxy.apply(route(1, "a.localhost", one))
    assert proxy.get("a.localhost") == (200, "one")
    moved = Route("app1", 1, 1, ("a.localhost",), (Server("one", "127.0.0.1", two.server_port),))
    proxy.apply(moved)
    assert proxy.get("a.localhost") == (200, "two")
    proxy.apply()
    assert proxy.get("a.localhost")[0] == 404


def test_killed_and_started_again_it_serves_the_same(proxy: Proxy, upstream: Start) -> None:
    proxy.apply(
        route(1, "a.localhost *.b.localhost", upstream("one")), route(5, "c.localhost", upstream("two"))
    )
    proxy.kill()
    assert not proxy.router.is_running()
    proxy.start()
    proxy.check_in_step()
    assert proxy.get("x.b.localhost") == (200, "one")
    assert proxy.get("c.localhost") == (200, "two")
    # Servers that came from the file can be replaced and deleted like added ones.
    proxy.apply(route(1, "a.localhost", upstream("three")))
    finish_drains(proxy.router, draining(proxy.settings), 1)
    assert draining(proxy.settings) == ()
    assert proxy.get("a.localhost") == (200, "three")


def test_what_changed_while_it_was_down_is_served_when_it_is_back(proxy: Proxy, upstream: Start) -> None:
    proxy.stop()
    assert not proxy.router.apply(Routes((route(1, "a.localhost", upstream("a")),))).running
    proxy.start()
    assert proxy.get("a.localhost") == (200, "a")


def test_running_out_of_slots_reloads_and_closes_nobodys_connection(proxy: Proxy, upstream: Start) -> None:
    old, new, late = upstream("old"), upstream("new"), upstream("late")
    proxy.apply(route(1, "a.localhost", old))
    assert not proxy.apply(route(1, "a.localhost", old), route(40, "b.localhost", late)).reloaded
    idle = proxy.connect()
    assert request(idle, "a.localhost") == (200, "old")
    stream = Stream(proxy, "a.localhost")
    change = proxy.apply(route(1, "a.localhost", old), route(65, "c.localhost", late))
    assert change.reloaded
    assert proxy.get("c.localhost") == (200, "late")
    assert stream.echoes(b"over the reload")

    # The old worker hands over: the idle connection's next request goes where the app is now.
    proxy.apply(route(1, "a.localhost", new), route(65, "c.localhost", late))
    idle.request("GET", "/", headers={"Host": "a.localhost"})
    answer = json.loads(idle.getresponse().read())
    idle.close()
    assert answer["who"] == "new"
    got = {name.lower(): value for name, value in answer["headers"].items()}
    assert got["x-forwarded-for"] == "127.0.0.1" and got["x-forwarded-port"] == str(proxy.port)
    assert not proxy.router.drained(1, "old")  # the stream is still there, in the old worker
    assert stream.echoes(b"and still")
    assert finish_drains(proxy.router, [(1, "old")], 0.2) == ((1, "old"),)
    assert stream.ended()
    stream.close()
    with Runtime(proxy.settings.run_dir / "haproxy.sock") as runtime:
        assert not [key for key in read_servers(runtime.ask("show servers state")) if key[1] == "old"]


def tell_master(proxy: Proxy, command: str) -> str:
    with contextlib.suppress(RouterNotRunning):
        return ask_once(proxy.settings.run_dir / MASTER_SOCKET, command)
    return ""


def test_a_connection_counts_while_the_master_is_away_to_reload(proxy: Proxy, upstream: Start) -> None:
    proxy.apply(route(1, "a.localhost", upstream("old")))
    stream = Stream(proxy, "a.localhost")
    assert stream.echoes(b"before")
    for _ in range(3):
        wait_until(lambda: tell_master(proxy, "show proc"))
        tell_master(proxy, "reload")
        # Until the new worker answers and a while longer: its master comes back last.
        assert not any(proxy.router.drained(1, "old") for _ in range(20))
    assert stream.echoes(b"after")
    stream.close()


def test_reloads_on_request_under_load_lose_nothing(proxy: Proxy, upstream: Start) -> None:
    routes = Routes((route(1, "a.localhost", upstream("a")),))
    proxy.router.apply(routes)
    stop, failures, count = threading.Event(), [], [0]

    def load() -> None:
        connection = proxy.connect()
        try:
            while not stop.is_set():
                assert request(connection, "a.localhost") == (200, "a")
                count[0] += 1
        except Exception as error:
            failures.append(repr(error))
        finally:
            connection.close()

    clients = [threading.Thread(target=load) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for _ in range(5):
            proxy.router.reload(routes)
            time.sleep(0.1)
    finally:
        stop.set()
        for client in clients:
            client.join()
    print(f"\n5 reloads under {count[0]} requests: {len(failures)} failed")
    assert failures == []


def test_another_shape_is_reloaded(proxy: Proxy, upstream: Start) -> None:
    """HAProxy runs what an older paas, or other settings, wrote."""
    config = proxy.settings.router_dir / "haproxy.cfg"
    proxy.stop()
    config.write_text(config.read_text().replace("description paas/", "description paas/0"))
    proxy.start()
    assert proxy.apply(route(1, "a.localhost", upstream("a"))).reloaded
    assert proxy.get("a.localhost") == (200, "a")


def test_a_file_that_haproxy_refuses_changes_nothing(
    proxy: Proxy, upstream: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = Routes((route(1, "a.localhost", upstream("a")),))
    proxy.router.apply(routes)
    monkeypatch.setattr("paas.router.configuration.THREADS", "many")
    with pytest.raises(RouterFailed, match="nbthread"):
        proxy.router.apply(routes)
    assert proxy.get("a.localhost") == (200, "a")
