"""The configuration as a pure function of what should be."""

from dataclasses import replace
from pathlib import Path

import pytest

from paas.router.configuration import Identity, identity, render, render_map, stock_for, with_servers
from paas.router.routes import Listener, Port, Route, Routes, Server, User
from paas.router.rules import Machine, page
from paas.settings import Settings

SETTINGS = Settings.from_environment({"PAAS_ROOT": "/srv/x", "PAAS_HTTP_LISTEN": "127.0.0.1:8080"})
ONE = Server("r1-web.1", "10.0.0.2", 5000)
TWO = Server("r1-web.2", "fd00::2", 5000)
ROUTES = Routes(
    (
        Route("blog", 7, 2, ("blog.example.org", "*.blog.example.org"), (TWO, ONE)),
        Route("api", 9, 1, ("api.example.org",), ()),
    )
)


def test_current_servers_are_ordinary_lines_of_their_slot() -> None:
    text = render(SETTINGS, ROUTES, 64)
    _, _, slots = text.partition("backend slot1 from slots\n")
    assert slots.startswith(
        "backend slot2 from slots\n"
        "    server r1-web.1 10.0.0.2:5000\n"
        "    server r1-web.2 [fd00::2]:5000\n"
        "backend slot3 from slots\n"
    )


def test_other_servers_of_one_backend_are_what_the_whole_file_would_say() -> None:
    port = Port(9000, "http", ("api.example.org",), (ONE,))
    user = User("me", f"$2b$05${'x' * 53}")
    for blog, api in (((), (ONE,)), ((ONE,), (TWO, ONE)), ((TWO,), ())):
        routes = Routes(
            (
                replace(ROUTES.routes[0], servers=blog, users=(user,)),
                replace(ROUTES.routes[1], servers=api, ports=(replace(port, servers=blog),)),
            )
        )
        text: str | None = render(SETTINGS, routes, 2)
        for backend, servers in (("slot2", (TWO, ONE)), ("slot1", ()), ("slot1.9000", (ONE,))):
            text = with_servers(text or "", backend, servers)
        blogs = replace(routes.routes[0], servers=ROUTES.routes[0].servers)
        apis = replace(routes.routes[1], servers=(), ports=(port,))
        assert text == render(SETTINGS, Routes((blogs, apis)), 2)
        assert with_servers(text or "", "slot3", (ONE,)) is None
        assert with_servers(text or "", "slot", (ONE,)) is None


def test_the_order_of_routes_does_not_matter() -> None:
    other = Routes(tuple(reversed(ROUTES.routes)))
    assert render(SETTINGS, other, 64) == render(SETTINGS, ROUTES, 64)
    assert render_map(other) == render_map(ROUTES)


def test_the_map_has_a_line_a_domain() -> None:
    assert render_map(ROUTES) == "*.blog.example.org slot2\napi.example.org slot1\nblog.example.org slot2\n"
    assert render_map(Routes()) == ""


def test_the_root_is_not_in_the_file() -> None:
    assert "/srv/x" not in render(SETTINGS, ROUTES, 64)


def test_a_full_stock_is_rendered_and_raised_when_a_slot_needs_it() -> None:
    assert render(SETTINGS, Routes(), 64).count("\nbackend slot") == 64
    assert render(SETTINGS, Routes((Route("a", 1, 70, (), ()),)), 64).count("\nbackend slot") == 70


@pytest.mark.parametrize(("highest", "stock"), [(0, 64), (32, 64), (33, 128), (96, 128), (500, 576)])
def test_the_stock_leaves_spare_slots(highest: int, stock: int) -> None:
    routes = Routes((Route("a", 1, highest, (), ()),)) if highest else Routes()
    assert stock_for(routes) == stock


def test_the_shape_changes_with_settings_and_not_with_routes_or_stock() -> None:
    other = Settings.from_environment({"PAAS_ROOT": "/srv/x", "PAAS_HTTP_LISTEN": "127.0.0.1:8081"})
    mine = identity(SETTINGS, 64)
    assert mine.shape == identity(SETTINGS, 128).shape
    assert mine.shape != identity(other, 64).shape
    assert mine.shape != identity(SETTINGS, 64, Machine(user="haproxy")).shape
    assert f"    description {mine}\n" in render(SETTINGS, ROUTES, 64)
    assert Identity.parse(str(mine)) == mine


@pytest.mark.parametrize("text", ["", "somebody's proxy", "paas/x", "paas/x/y", "other/x/64"])
def test_a_foreign_description_is_nobody(text: str) -> None:
    assert Identity.parse(text) == Identity("", 0)


@pytest.mark.parametrize(
    ("listen", "machine", "bind"),
    [
        (":80", Machine(dual_stack=True), ":::80 v4v6"),
        (":80", Machine(), "*:80"),
        ("127.0.0.1:8080", Machine(dual_stack=True), "127.0.0.1:8080"),
        ("[::1]:8080", Machine(), "[::1]:8080"),
    ],
)
def test_binds(listen: str, machine: Machine, bind: str) -> None:
    settings = Settings.from_environment({"PAAS_ROOT": "/srv/x", "PAAS_HTTP_LISTEN": listen})
    assert f"    bind {bind}\n" in render(settings, Routes(), 64, machine)


def test_workers_become_the_machines_user() -> None:
    assert "    user haproxy\n    group haproxy\n" in render(SETTINGS, Routes(), 64, Machine(user="haproxy"))
    assert "    user " not in render(SETTINGS, Routes(), 64)


def test_pages_are_packaged_and_name_nobody() -> None:
    for name in ("404.html", "503.html"):
        assert page(name).startswith("<!doctype html>")
        assert "paas" not in page(name).lower()


def test_bad_values_never_reach_the_file() -> None:
    for name in ("", "a b", "a\nb", "-a", "a/b"):
        with pytest.raises(ValueError):
            Server(name, "10.0.0.1", 80)
    for address, port in (("host", 80), ("10.0.0.1 check", 80), ("10.0.0.1", 0), ("10.0.0.1", 65536)):
        with pytest.raises(ValueError):
            Server("a", address, port)
    for domain in ("", "A.example.org", "a b", "a\nslot2", "*.", "a..b", "x.*.y", "-a.org"):
        with pytest.raises(ValueError):
            Route("a", 1, 1, (domain,), ())


def test_a_slot_and_a_domain_belong_to_one_app() -> None:
    one = Route("a", 1, 1, ("a.org",), ())
    for other in (Route("b", 2, 1, (), ()), Route("b", 2, 2, ("a.org",), ())):
        with pytest.raises(ValueError):
            Routes((one, other))
    with pytest.raises(ValueError):
        Route("a", 1, 0, (), ())
    with pytest.raises(ValueError):
        Route("a", 1, 1, (), (ONE, ONE))


def test_rendering_reads_nothing_of_the_root(tmp_path: Path) -> None:
    settings = Settings.from_environment({"PAAS_ROOT": str(tmp_path / "none")})
    assert render(settings, ROUTES, 64)
    assert not (tmp_path / "none").exists()


def test_an_apps_options_are_lines_of_the_map() -> None:
    route = Route("shop", 1, 3, ("a.org",), (), idle_seconds=120, force_ssl=True)
    assert render_map(Routes((route,))) == "a.org slot3:rh\nslot3/idle 120000\n"


def test_an_apps_own_ports_are_in_file_map_and_shape() -> None:
    ports = (
        Port(9000, "http", ("a.org", "*.a.org"), (ONE,)),
        Port(5432, "tcp", (), (TWO,)),
    )
    routes = Routes((Route("shop", 1, 3, ("a.org",), (ONE,), idle_seconds=60, ports=ports),))
    assert routes.listeners == (Listener(5432, "tcp", 3), Listener(9000, "http", 3))
    assert render_map(routes) == (
        "*.a.org:9000 slot3.9000\n"
        "a.org slot3\n"
        "a.org:9000 slot3.9000\n"
        "slot3.5432/idle 60000\n"
        "slot3.9000/idle 60000\n"
        "slot3/also slot3.9000,slot3.5432\n"
        "slot3/idle 60000\n"
    )
    text = render(SETTINGS, routes, 64)
    assert "frontend http9000 from web\n    bind 127.0.0.1:9000\n" in text
    assert "frontend tcp5432 from tcp\n    bind 127.0.0.1:5432\n    default_backend slot3.5432\n" in text
    assert text.endswith(
        "backend slot3.5432 from tcp\n    server r1-web.2 [fd00::2]:5000\n"
        "backend slot3.9000 from slots\n    server r1-web.1 10.0.0.2:5000\n"
    )
    other = Route("b", 2, 4, (), (), ports=(Port(9000, "http", ("b.org",)),))
    mine = identity(SETTINGS, 64, None, routes)
    assert f"    description {mine}\n" in text
    assert mine.shape != identity(SETTINGS, 64).shape
    assert mine.shape != identity(SETTINGS, 64, None, Routes((*routes.routes, other))).shape
    assert routes.without([5432, 9000]).listeners == ()


def test_a_port_is_shared_by_domain_only() -> None:
    def route(slot: int, mode: str, *domains: str) -> Route:
        return Route(f"app{slot}", slot, slot, (), (), ports=(Port(9000, mode, domains),))  # type: ignore[arg-type]

    assert (
        len(Routes((route(1, "http", "a.org"), route(2, "http", "b.org"), route(3, "http", "*"))).listeners)
        == 3
    )
    for one, two in (
        (route(1, "tcp"), route(2, "tcp")),
        (route(1, "tcp"), route(2, "http", "a.org")),
        (route(1, "http", "*"), route(2, "http", "*")),
        (route(1, "http", "a.org"), route(2, "http", "a.org")),
    ):
        with pytest.raises(ValueError):
            Routes((one, two))
    for bad in ((0, "http", ()), (70000, "tcp", ()), (80, "udp", ()), (80, "http", ("a b",))):
        with pytest.raises(ValueError):
            Port(*bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        Route("a", 1, 1, (), (), ports=(Port(80, "http"), Port(80, "tcp")))
