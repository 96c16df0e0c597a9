"""Ports of the host beside the router's own: who answers there, and what a change of them costs."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator

import pytest
from support.drains import draining, finish_drains
from support.server import free_port
from test_router_support import Proxy, Start, proxies, request, upstreams, wait_until

from paas.router import Port, Route, Server

proxy = pytest.fixture(proxies, name="proxy")
upstream = pytest.fixture(upstreams, name="upstream")


def get(port: int, host: str) -> tuple[int, str]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        return request(connection, host)


@contextlib.contextmanager
def greeter(text: bytes) -> Iterator[Server]:
    """A TCP server that says who it is, without a line of HTTP, and keeps the connection open."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(listener.accept()[0])
                    kept[-1].sendall(text)

        threading.Thread(target=serve, daemon=True).start()
        yield Server(text.decode(), "127.0.0.1", listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        for connection in kept:
            connection.close()


def test_a_port_of_two_apps_leads_by_domain_to_the_port_that_each_mapped(proxy: Proxy, upstream: Start) -> None:
    port = free_port()
    web, admin, other = upstream("web"), upstream("admin"), upstream("other")
    one = Route(
        "one",
        1,
        1,
        ("a.localhost",),
        (web.server,),
        ports=(Port(port, "http", ("a.localhost", "*.a.localhost"), (admin.server,)),),
    )
    two = Route("two", 2, 2, (), (), ports=(Port(port, "http", ("b.localhost",), (other.server,)),))
    assert proxy.apply(one, two).reloaded
    assert get(port, "a.localhost") == get(port, f"x.A.localhost:{port}") == (200, "admin")
    assert get(port, "b.localhost") == (200, "other")
    assert get(port, "c.localhost")[0] == 404
    assert proxy.get("a.localhost") == (200, "web")
    assert proxy.get("b.localhost")[0] == 404


def test_domains_and_servers_of_a_port_change_without_a_reload(proxy: Proxy, upstream: Start) -> None:
    port = free_port()
    old, new = upstream("old"), upstream("new")

    def route(server: Server, *domains: str) -> Route:
        return Route("one", 1, 1, (), (), idle_seconds=60, ports=(Port(port, "http", domains, (server,)),))

    assert proxy.apply(route(old.server, "a.localhost")).reloaded
    change = proxy.apply(route(new.server, "b.localhost"))
    assert not change.reloaded and change.commands
    assert get(port, "b.localhost") == (200, "new")
    assert get(port, "a.localhost")[0] == 404
    assert finish_drains(proxy.router, [(1, "old")], 2) == ()
    assert not proxy.apply(route(new.server, "*")).reloaded
    assert get(port, "whatever.example.org") == (200, "new")
    assert proxy.apply(Route("one", 1, 1, (), ())).reloaded
    with pytest.raises(ConnectionRefusedError):
        get(port, "b.localhost")


def test_tcp_is_passed_on_and_its_connections_drain(proxy: Proxy) -> None:
    port = free_port()
    with greeter(b"old") as old, greeter(b"new") as new:
        route = [Route("db", 1, 1, (), (), ports=(Port(port, "tcp", (), (item,)),)) for item in (old, new)]
        proxy.apply(route[0])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            assert client.recv(3) == b"old"
            assert not proxy.apply(route[1]).reloaded
            with socket.create_connection(("127.0.0.1", port), timeout=5) as second:
                assert second.recv(3) == b"new"
            assert not proxy.router.drained(1, "old")
            assert finish_drains(proxy.router, [(1, "old")], 0.2) == ((1, "old"),)
            assert client.recv(3) == b""
        assert draining(proxy.settings) == ()


def test_a_port_that_somebody_else_holds_costs_only_itself(proxy: Proxy, upstream: Start) -> None:
    web = upstream("web")
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        route = Route(
            "one", 1, 1, ("a.localhost",), (web.server,), ports=(Port(port, "http", ("a.localhost",), (web.server,)),)
        )
        assert proxy.router.refusal(port) == "Address already in use"
        change = proxy.apply(route)
        assert change.blocked == (port,) and not change.reloaded
        assert proxy.get("a.localhost") == (200, "web")
        proxy.kill()
        proxy.start()
        assert proxy.get("a.localhost") == (200, "web")
    assert proxy.apply(route).blocked == ()
    assert get(port, "a.localhost") == (200, "web")
    assert proxy.router.refusal(port) is None


def test_an_old_worker_hands_a_ports_requests_to_the_one_that_knows_better(proxy: Proxy, upstream: Start) -> None:
    ports = free_port(), free_port()
    old, new = upstream("old"), upstream("new")

    def route(server: Server, *numbers: int) -> Route:
        return Route(
            "one", 1, 1, (), (), ports=tuple(Port(number, "http", ("a.localhost",), (server,)) for number in numbers)
        )

    proxy.apply(route(old.server, ports[0]))
    connection = http.client.HTTPConnection("127.0.0.1", ports[0], timeout=10)
    with contextlib.closing(connection):
        assert request(connection, "a.localhost") == (200, "old")
        assert proxy.apply(route(new.server, *ports)).reloaded
        assert request(connection, "a.localhost") == (200, "new")
    wait_until(lambda: proxy.router.drained(1, "old"))
