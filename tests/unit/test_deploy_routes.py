"""From the database to what the router should do, and changes that are stored and routed or neither."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from paas.deploy.containers.services import service_settings
from paas.deploy.rollout import Rollout
from paas.deploy.routing import domains, ports
from paas.deploy.routing.checks import change, listed, state_of
from paas.deploy.routing.reroute import HostPortBusy, HostPortOfRouter, HostPortTaken, rerouted
from paas.deploy.routing.routes import conflicts, reaches, routes
from paas.deploy.routing.urls import urls
from paas.deploy.session import Session
from paas.deploy.switch import switch
from paas.model.domain import Domain, InvalidDomain
from paas.model.names import AppName, ProcessType
from paas.model.port import PortMapping, PortReused
from paas.model.release import WEB, Manifest, Process, Release
from paas.router import Change, RouterFailed, Routes
from paas.router.routes import Port, Route, Server
from paas.store import routing
from paas.store.apps import App


class Router:
    """Takes what it is told, unless it is `broken`; `held` are ports that somebody else has."""

    publishes_ports = False
    missing = None

    def __init__(self) -> None:
        self.told: list[Routes] = []
        self.broken = False
        self.held: dict[int, str] = {}
        self.blocked: tuple[int, ...] = ()
        self.version: int | None = None
        self.switched: list[Route] = []

    def apply(self, wanted: Routes, version: int | None = None) -> Change:
        if self.broken:
            raise RouterFailed(command="reload", reason="no")
        self.told.append(wanted)
        self.version = version
        return Change(blocked=self.blocked)

    def switch(self, route: Route, version: int) -> Change | None:
        if version != self.version:
            return None
        self.switched.append(route)
        self.version = None
        return Change()

    def settle(self, version: int) -> None:
        assert self.version is None
        self.version = version

    def refusal(self, port: int) -> str | None:
        return self.held.get(port)


@pytest.fixture
def router(session: Session) -> Router:
    session.router = fake = Router()  # type: ignore[assignment]
    return fake


@pytest.fixture
def create(session: Session, router: Router) -> Callable[..., App]:
    """`create(name, Process, …)`: an app that serves with these processes."""

    def make(name: str, *processes: tuple[str, int]) -> App:
        app = session.apps.create(AppName(name))
        session.releases.add(release := _release(app))
        found = [_process(app, number, *at) for number, at in enumerate(processes, 1)]
        session.releases.commit(app, release, found, {WEB: len(found)}, {}, [])
        return session.apps.get(name)

    return make


def _release(app: App) -> Release:
    manifest = Manifest({WEB: None}, port=5000)
    return Release(app.id, 1, "pending", 1, 0, "", None, None, "sha256:1", "t", {}, manifest, {WEB: 1})


def _process(app: App, number: int, address: str, port: int) -> Process:
    return Process(f"{app.id}{number}".ljust(64, "c"), app.id, 1, WEB, number, address, port)


def mappings(*texts: str) -> list[PortMapping]:
    return [PortMapping.parse(text) for text in texts]


def route(session: Session, app: App) -> Any:
    return next(item for item in routes(session).routes if item.app_id == app.id)


def test_without_a_map_the_routers_port_leads_to_the_processes_by_domain(
    session: Session, create: Callable[..., App]
) -> None:
    app = create("a", ("127.0.0.2", 5000))
    found = route(session, app)
    assert found.domains == ("a.localhost",) and found.ports == ()
    assert [server.endpoint for server in found.servers] == ["127.0.0.2:5000"]


def test_other_host_ports_have_servers_at_the_mapped_container_port(
    session: Session, create: Callable[..., App], router: Router
) -> None:
    app = create("a", ("127.0.0.2", 5000))
    ports.replace(session, app, mappings("http:9000:6000", "tcp:9001:6001", "udp:9002:1", "https:443:1"))
    found = route(session, app)
    name = found.servers[0].name
    assert found.domains == ()  # nothing maps the router's own port
    assert found.ports == (
        Port(9000, "http", ("a.localhost",), (Server(name, "127.0.0.2", 6000),)),
        Port(9001, "tcp", (), (Server(name, "127.0.0.2", 6001),)),
    )
    assert router.told[-1] == routes(session)
    assert urls(session, app) == ["http://a.localhost:9000", "tcp://a.localhost:9001"]


def test_of_a_process_on_loopback_only_the_published_port_is_known(
    session: Session, create: Callable[..., App]
) -> None:
    app = create("a", ("127.0.0.1", 49153))
    ports.replace(session, app, mappings("http:9000:5000", "http:9001:6000"))
    first, second = route(session, app).ports
    assert [server.port for server in first.servers] == [49153] and second.servers == ()


def test_the_routers_own_port_is_80_whatever_it_listens_on(
    session: Session, create: Callable[..., App]
) -> None:
    app = create("a", ("127.0.0.2", 5000))
    own = session.settings.http_listen.port
    for host in (80, own):
        ports.replace(session, app, mappings(f"http:{host}:5000"))
        assert route(session, app).domains == ("a.localhost",) and route(session, app).ports == ()
        assert urls(session, app) == [f"http://a.localhost:{own}"]


def test_a_disabled_proxy_and_disabled_domains(session: Session, create: Callable[..., App]) -> None:
    app = create("a", ("127.0.0.2", 5000))
    session.properties.set(app.id, "proxy", "disabled", "true")
    assert route(session, app).domains == () and ports.publishes(session, app)
    assert urls(session, app) == ["http://127.0.0.2:5000"]
    session.properties.set(app.id, "proxy", "disabled", "false")
    domains.disable(session, app)
    port = int(session.properties.get(app.id, "ports", "random"))
    assert route(session, app).ports[0].domains == ("*",) and route(session, app).ports[0].number == port
    assert route(session, app).domains == () and urls(session, app) == [f"http://localhost:{port}"]
    domains.disable(session, app)
    assert session.properties.get(app.id, "ports", "random") == str(port)


def test_a_port_is_refused_that_another_app_the_router_or_another_program_has(
    session: Session, create: Callable[..., App], router: Router
) -> None:
    first, second = create("first"), create("second")
    ports.replace(session, first, mappings("tcp:9000:1", "http:9001:1"))
    router.held[9002] = "Address already in use"
    before = len(router.told)
    for text, error, owner in (
        ("tcp:9000:2", HostPortTaken, "first"),
        ("http:9000:2", HostPortTaken, "first"),
        ("tcp:9001:2", HostPortTaken, "first"),
        ("tcp:80:2", HostPortOfRouter, None),
        ("tcp:8443:2", HostPortOfRouter, None),
        ("http:9002:2", HostPortBusy, None),
    ):
        with pytest.raises(error) as raised:
            ports.add(session, second, mappings(text))
        assert raised.value.fields.get("owner") == owner
        assert ports.stored(session, second) == []
    assert all(item == routes(session) for item in router.told[before:])
    ports.add(session, second, mappings("http:9001:2"))  # by domain it is shared
    with pytest.raises(HostPortTaken):
        ports.add(session, second, mappings("tcp:9001:2"))


def test_an_older_app_keeps_a_port_and_the_others_are_routed_all_the_same(
    session: Session, create: Callable[..., App]
) -> None:
    first, second = create("first", ("127.0.0.2", 1)), create("second", ("127.0.0.3", 1))
    for app in (first, second):  # as a clone's properties would be
        session.properties.set_items(app.id, "ports", "map", ["http:80:1", "tcp:9000:1"])
    assert [item.number for item in route(session, first).ports] == [9000]
    assert route(session, second).ports == () and route(session, second).domains == ("second.localhost",)
    assert [(item.app_id, item.owner) for item in conflicts(session.settings, reaches(session))] == [
        (second.id, "first")
    ]
    domains.add(session, first, [Domain("more.example")])  # what was wrong before is nobody's fault now


def test_what_the_router_refuses_is_not_stored(
    session: Session, create: Callable[..., App], router: Router
) -> None:
    app = create("a")
    router.broken = True
    with pytest.raises(RouterFailed):
        domains.add(session, app, [Domain("b.example")])
    assert session.apps.domains(app) == ["a.localhost"]
    with pytest.raises(ZeroDivisionError), rerouted(session):
        session.domains.clear(app.id)
        raise ZeroDivisionError
    assert session.apps.domains(app) == ["a.localhost"]


def test_a_port_that_was_lost_to_another_program_is_told(
    session: Session, create: Callable[..., App], router: Router
) -> None:
    router.blocked = (9000,)
    create("a")
    session.reroute()
    assert "Host port 9000 is held by another program" in session.console.err.getvalue()  # type: ignore[attr-defined]


def test_nobody_tells_the_router_anything_between_a_switch_and_its_commit(
    session: Session, create: Callable[..., App], router: Router
) -> None:
    app = create("a", ("127.0.0.2", 5000))
    other = Session(session.settings, session.caller, session.console)
    other.router = router  # type: ignore[assignment]
    meanwhile = threading.Thread(target=other.reroute)
    new = _process(app, 7, "127.0.0.9", 5000)

    def commit(serving: list[Process], retired: list[Any]) -> None:
        meanwhile.start()
        meanwhile.join(0.3)
        assert meanwhile.is_alive()
        session.releases.set_processes(app, serving, retired)

    rollout = Rollout(session, app, _release(app), None, {}, 1, commit)  # type: ignore[arg-type]
    rollout._switch_and_commit(session.releases.processes(app.id), [new])
    meanwhile.join()
    other.database.close()
    ends = [[server.address for item in told.routes for server in item.servers] for told in router.told]
    assert ends == [["127.0.0.9"], ["127.0.0.9"]]


def test_a_switch_looks_at_nothing_else_while_nothing_else_changes(
    session: Session, create: Callable[..., App], router: Router
) -> None:
    app, other = create("a", ("127.0.0.2", 5000)), create("b", ("127.0.0.3", 5000))
    session.reroute()

    def change(number: int, commit: Callable[[], None] = lambda: None) -> tuple[int, int]:
        """How often the router was told of all apps, and of one."""
        before = len(router.told), len(router.switched)
        new = [_process(app, item, "127.0.0.9", 5000) for item in range(number, number + 2)]
        with session.routing():
            switch(session, app, new, lambda: (session.releases.set_processes(app, new, []), commit())[0])
        assert router.version == routing.version(session.database)
        return len(router.told) - before[0], len(router.switched) - before[1]

    assert change(2) == (0, 1)
    assert change(3) == (0, 1)
    assert router.switched[-1] == routes(session).routes[0]
    session.properties.set(app.id, "git", "key", "written by every deploy")
    assert change(4) == (0, 1)
    session.properties.set(other.id, "router", "idle-timeout", "30")
    assert change(5) == (1, 0)
    assert change(6) == (0, 1)
    assert change(7, lambda: session.properties.set(app.id, "router", "idle-timeout", "30")) == (1, 1)
    session.releases.move_process(replace(session.releases.processes(other.id)[0], address="127.0.0.7"))
    assert change(8) == (1, 0)
    assert change(9) == (0, 1)
    with pytest.raises(ZeroDivisionError):
        change(10, lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    assert router.version is None
    session.reroute()
    assert change(11) == (0, 1)


def test_what_changes_during_a_switch_is_not_overlooked(
    session: Session, create: Callable[..., App], router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, other = create("a"), create("b")
    session.reroute()
    monkeypatch.setattr(router, "settle", None)

    def meanwhile(route: Route, version: int) -> Change:
        session.properties.set(other.id, "router", "idle-timeout", "30")
        return Change()

    monkeypatch.setattr(router, "switch", meanwhile)
    with session.routing():
        switch(session, app, [], lambda: None)
    assert router.told[-1].routes[1].idle_seconds == 30
    assert router.version == routing.version(session.database)


def test_domains_belong_to_one_app(session: Session, create: Callable[..., App]) -> None:
    first, second = create("first"), create("second")
    one, two = Domain("one.example"), Domain("two.example")
    assert domains.add(session, first, [one, one]) == [one]
    assert domains.add(session, first, [one]) == []
    for act in (domains.add, domains.replace):
        with pytest.raises(domains.DomainTaken):
            act(session, second, [two, one])  # type: ignore[operator]
        assert session.apps.domains(second) == ["second.localhost"]
    domains.replace(session, first, [two])
    domains.add(session, second, [one])
    domains.clear(session, first)
    domains.remove(session, second, [one, two])
    assert domains.reset(session, first) == [] and session.apps.domains(first) == ["first.localhost"]


def test_a_default_domain_that_another_app_took_is_named(
    session: Session, create: Callable[..., App]
) -> None:
    first, second = create("first"), create("second")
    domains.clear(session, first)
    domains.add(session, second, [Domain("first.localhost")])
    assert domains.reset(session, first) == ["first.localhost"]
    domains.disable(session, first)
    domains.enable(session, first)
    assert session.apps.domains(first) == []


def test_no_global_domain_is_not_the_first_one(session: Session) -> None:
    assert session.domains.everywhere() == ["localhost"]
    domains.set_everywhere(session, [Domain("a.org"), Domain("b.org"), Domain("a.org")])
    assert session.domains.everywhere() == ["a.org", "b.org"]
    with pytest.raises(InvalidDomain):
        domains.set_everywhere(session, [Domain("*.a.org")])
    domains.set_everywhere(session, [])
    assert session.domains.everywhere() == []
    assert not session.domains.enabled(session.apps.create(AppName("a")).id)
    assert session.domains.enabled(session.apps.create(AppName("www.a.org")).id)


def test_the_main_container_port(session: Session, create: Callable[..., App]) -> None:
    app = create("a")
    manifest = Manifest({WEB: None}, port=8000)
    assert ports.container_port(session, app, manifest) == 8000
    for texts, port in (
        (["tcp:9001:1", "http:9002:2", "http:9003:3"], 2),
        (["https:443:4", "tcp:9001:1"], 4),
        (["tcp:9001:1"], 1),
        (["udp:53:53"], 8000),
    ):
        ports.replace(session, app, mappings(*texts))
        assert ports.container_port(session, app, manifest) == port


def test_adding_the_same_mapping_again_changes_nothing(
    session: Session, create: Callable[..., App], router: Router
) -> None:
    app = create("a")
    ports.add(session, app, mappings("http:9000:1", "http:80:1"))
    assert [str(item) for item in ports.stored(session, app)] == ["http:80:1", "http:9000:1"]
    before = len(router.told)
    ports.add(session, app, mappings("http:9000:1"))
    assert len(router.told) == before
    with pytest.raises(PortReused):
        ports.add(session, app, mappings("http:9000:2"))
    ports.remove(session, app, lambda item: item.host == 80)
    assert [str(item) for item in ports.stored(session, app)] == ["http:9000:1"]


def test_states_of_checks(session: Session, create: Callable[..., App]) -> None:
    app = create("a")
    web, worker = ProcessType("web"), ProcessType("worker")

    def lists() -> tuple[str, str]:
        return listed(session, app.id, "disabled"), listed(session, app.id, "skipped")

    assert lists() == ("none", "none") and state_of(session, app.id, web) == "enabled"
    change(session, app.id, "disabled", [web, worker])
    change(session, app.id, "skipped", [worker])
    assert lists() == ("web", "worker")
    assert not service_settings(session, app.id, web).zero_downtime
    assert service_settings(session, app.id, worker).checks == "skipped"
    change(session, app.id, "disabled", [])
    assert lists() == ("_all_", "none") and state_of(session, app.id, worker) == "disabled"
    change(session, app.id, "enabled", [])
    assert lists() == ("none", "none") and service_settings(session, app.id, web).zero_downtime


def test_requests_go_to_a_mapped_port_where_the_process_listens_already(
    session: Session, create: Callable[..., App], router: Router
) -> None:
    with socket.create_server(("127.0.0.2", 0)) as listener:
        port = listener.getsockname()[1]
        app = create("a", ("127.0.0.2", 5000), ("127.0.0.3", 5000))
        ports.replace(session, app, mappings(f"http:80:{port}"))
    assert [server.endpoint for server in router.told[-1].routes[0].servers] == [
        f"127.0.0.2:{port}",
        "127.0.0.3:5000",
    ]
    assert session.console.err.getvalue() == (  # type: ignore[attr-defined]
        f" !     web.2 does not listen on port {port}: it is used from the next deploy or ps:restart a on\n"
    )
