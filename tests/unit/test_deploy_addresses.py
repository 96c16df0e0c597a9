"""Addresses are given in turn, to nobody who has one; what is down is recorded, and is not where requests go."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from paas.agent.reconcile import note
from paas.deploy.containers.addresses import reserve
from paas.deploy.containers.network import as_it_is, note_states
from paas.deploy.session import Session
from paas.engine.containers import ContainerState
from paas.engine.shared_network import FixedAddresses
from paas.model.release import WEB, Process
from paas.store.apps import App

FIVE = FixedAddresses("10.0.0.128", 5)


def process(app: App, letter: str, address: str) -> Process:
    return Process(letter * 64, app.id, 1, WEB, 1, address, 5000)


def state(letter: str, address: str = "10.0.0.130", status: str = "running") -> ContainerState:
    up = status in ("running", "restarting", "paused")
    return ContainerState(letter * 64, up, status, 0, False, "", None, 0, address, None, {}, 1)


def test_addresses_are_given_in_turn_and_never_twice(session: Session, app: App) -> None:
    taken = process(app, "a", "10.0.0.130")
    session.releases.set_processes(app, [taken], [])
    given = [reserve(session, FIVE) for _ in range(6)]
    assert given == ["10.0.0.128", "10.0.0.129", "10.0.0.131", "10.0.0.132", "10.0.0.128", "10.0.0.129"]
    everyone = [process(app, letter, FIVE.at(number)) for number, letter in enumerate("abcde")]
    session.releases.set_processes(app, everyone, [])
    assert reserve(session, FIVE) == "", "the engine may still have one"
    # One that is down keeps its address.
    session.releases.set_processes(app, [replace(item, down=True) for item in everyone], [])
    assert reserve(session, FIVE) == ""
    assert reserve(session, None) == ""


def test_a_container_is_as_the_engine_says(app: App) -> None:
    mine = process(app, "a", "10.0.0.130")
    assert as_it_is(mine, state("a")) == mine
    assert as_it_is(mine, state("a", "10.0.0.7")) == replace(mine, address="10.0.0.7")
    for ended in (None, state("a", "", "exited"), state("a", "", "restarting")):
        assert as_it_is(mine, ended) == replace(mine, down=True), "where it was is where it comes back"
    assert as_it_is(replace(mine, down=True), state("a")) == mine
    published = replace(mine, address="127.0.0.1", port=49000)
    moved = replace(state("a", "10.0.0.7"), published_port=49001)
    assert as_it_is(published, moved) == replace(published, port=49001)


def test_what_is_down_gets_no_requests(session: Session, app: App) -> None:
    first, second = process(app, "a", "10.0.0.130"), process(app, "b", "10.0.0.131")
    session.releases.set_processes(app, [first, second], [])
    told: list[tuple[str, ...]] = []
    found = {first.container_id: state("a"), second.container_id: state("b", "10.0.0.131")}

    def tell(routes: object, version: int | None = None) -> SimpleNamespace:
        told.append(tuple(server.address for server in routes.routes[0].servers))  # type: ignore[attr-defined]
        return SimpleNamespace(blocked=())

    session.router = SimpleNamespace(  # type: ignore[assignment]
        apply=tell, switch=lambda route, version: None, settle=lambda version: None, publishes_ports=False
    )
    session.containers = SimpleNamespace(  # type: ignore[assignment]
        find=found.get, states=lambda labels: list(found.values())
    )
    note(session, first.container_id)
    assert told == [], "nothing new"
    found[first.container_id] = state("a", "", "exited")
    note(session, first.container_id)
    assert told[-1] == ("10.0.0.131",)
    assert [item.down for item in session.releases.processes(app.id)] == [True, False]
    found[first.container_id] = state("a")
    note(session, first.container_id)
    assert told[-1] == ("10.0.0.130", "10.0.0.131")
    del found[second.container_id]
    note_states(session)
    assert told[-1] == ("10.0.0.130",)
    count = len(told)
    note(session, "c" * 64)
    assert len(told) == count, "not one that serves"
