"""From what HAProxy says it is to the commands that make it what it should be."""

from paas.router.configuration import Identity
from paas.router.difference import Observed, Running, difference, observe, read_servers
from paas.router.routes import Port, Route, Routes, Server
from paas.router.workers import old_pids

OLD = Server("r1-web.1", "10.0.0.2", 5000)
NEW = Server("r2-web.1", "10.0.0.3", 5000)
HERE = Identity("abc", 64)


def routes(*servers: Server, domains: tuple[str, ...] = ("a.org",), slot: int = 1) -> Routes:
    return Routes((Route("a", 1, slot, domains, servers),))


def observed(*servers: Server, serving: bool = True, domains: dict[str, str] | None = None) -> Observed:
    running = {("slot1", server.name): Running(server.address, server.port, serving) for server in servers}
    return Observed(HERE, 1, running, {"a.org": "slot1"} if domains is None else domains)


def test_nothing_to_do() -> None:
    assert difference(routes(OLD), observed(OLD)) == []


def test_the_new_server_and_its_domain_come_before_the_old_one_goes() -> None:
    assert difference(routes(NEW, domains=("a.org", "b.org")), observed(OLD)) == [
        "add server slot1/r2-web.1 10.0.0.3:5000",
        "set server slot1/r2-web.1 state ready",
        "add map domains.map b.org slot1",
        "set server slot1/r1-web.1 state drain",
    ]


def test_an_address_that_has_a_new_owner_is_left_first() -> None:
    taker = Routes((Route("b", 2, 2, ("a.org",), (Server("x", OLD.address, OLD.port),)),))
    assert difference(taker, observed(OLD)) == [
        "set server slot1/r1-web.1 state drain",
        "add server slot2/x 10.0.0.2:5000",
        "set server slot2/x state ready",
        "set map domains.map a.org slot2",
    ]


def test_a_container_that_came_back_elsewhere() -> None:
    moved = Server(OLD.name, "10.0.0.9", 5001)
    assert difference(routes(moved), observed(OLD)) == ["set server slot1/r1-web.1 addr 10.0.0.9 port 5001"]


def test_a_drained_server_is_taken_back() -> None:
    assert difference(routes(OLD), observed(OLD, serving=False)) == ["set server slot1/r1-web.1 state ready"]
    assert difference(routes(), observed(OLD, serving=False)) == []


def test_domains_move_and_go() -> None:
    commands = difference(routes(OLD), observed(OLD, domains={"a.org": "slot9", "old.org": "slot1"}))
    assert commands == ["set map domains.map a.org slot1", "del map domains.map old.org"]


def test_servers_of_slots_that_are_not_there_are_left_out() -> None:
    assert difference(routes(OLD, slot=65, domains=()), observed(domains={})) == []


def test_observing_a_foreign_haproxy_asks_no_further() -> None:
    assert observe({"show info": "Name: HAProxy\nPid: 12\ndescription: mine\n"}.__getitem__) == Observed(
        Identity("", 0), 12
    )


def test_other_backends_are_no_servers_of_ours() -> None:
    line = "4 {} 1 a 127.0.0.1 2 {} 1 1 0 1 0 0 0 0 0 0 - 18082 - 0 0 - - 0\n"
    assert read_servers("1\n# be_id\n" + line.format("slot3", 0) + line.format("other", 0)) == {
        ("slot3", "a"): Running("127.0.0.1", 18082, True)
    }
    assert not read_servers(line.format("slot3", 8))["slot3", "a"].serving


def test_old_workers_are_those_below_their_headline() -> None:
    head = "#<PID> <type>\n1 master 2\n# workers\n30 worker 0\n"
    assert old_pids(head + "# old workers\n20 worker 1 0d\n21 worker 2 0d\n# programs\n\n") == [20, 21]
    assert old_pids(head + "# programs\n\n") == []


def test_an_apps_own_port_has_servers_of_its_own() -> None:
    there = Server(OLD.name, OLD.address, 9000)
    route = Route("a", 1, 1, ("a.org",), (OLD,), ports=(Port(81, "http", ("a.org",), (there,)),))
    assert difference(Routes((route,)), observed(OLD)) == [
        "add server slot1.81/r1-web.1 10.0.0.2:9000",
        "set server slot1.81/r1-web.1 state ready",
        "add map domains.map a.org:81 slot1.81",
        "add map domains.map slot1/also slot1.81",
    ]
