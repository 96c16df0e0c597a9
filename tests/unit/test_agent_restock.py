"""When the agent extends the router's stock of backends: at a quiet moment, or when it waited long enough."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from paas.agent import restock as module
from paas.agent.restock import PATIENCE_SECONDS, QUIET_SECONDS, Restock
from paas.deploy.session import Session
from paas.model.names import AppName
from paas.router import Change, RouterFailed, Routes
from paas.store import routing


class Router:
    """Has `stock` backends."""

    publishes_ports = False

    def __init__(self) -> None:
        self.stock = 3
        self.reloads: list[tuple[Routes, int | None]] = []
        self.broken = False

    def low(self, highest_slot: int) -> bool:
        return highest_slot >= self.stock

    def reload(self, routes: Routes, version: int | None = None) -> Change:
        if self.broken:
            raise RouterFailed(command="reload", reason="no")
        self.reloads.append((routes, version))
        self.stock += 3
        return Change()


@pytest.fixture
def router(session: Session) -> Router:
    session.router = fake = Router()  # type: ignore[assignment]
    return fake


@pytest.fixture
def other(session: Session) -> Iterator[Session]:
    """Somebody else, whose changes the agent notices."""
    somebody = Session(session.settings, session.caller, session.console)
    with contextlib.closing(somebody.database):
        yield somebody


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_it_reloads_once_when_nobody_has_changed_anything_for_a_while(
    session: Session, other: Session, router: Router, clock: list[float]
) -> None:
    restock = Restock()
    for name in ("a", "b"):
        other.apps.create(AppName(name))
        restock.look(session)
        assert restock.next_due() is None
    other.apps.create(AppName("c"))
    restock.look(session)
    assert restock.next_due() == QUIET_SECONDS
    clock[0] += QUIET_SECONDS - 1
    other.properties.set(0, "any", "thing", "changes")
    restock.reload_due(session)
    assert restock.next_due() == QUIET_SECONDS and not router.reloads
    clock[0] += QUIET_SECONDS
    restock.reload_due(session)
    restock.reload_due(session)
    assert router.reloads == [(session.routes(), routing.version(session.database))]
    assert restock.next_due() is None


def test_where_it_is_never_quiet_it_reloads_in_the_end(
    session: Session, other: Session, router: Router, clock: list[float]
) -> None:
    restock = Restock()
    for name in "abc":
        other.apps.create(AppName(name))
    started = clock[0]
    while not router.reloads:
        restock.look(session)
        other.properties.set(0, "any", "thing", str(clock[0]))
        clock[0] += QUIET_SECONDS / 2
        restock.reload_due(session)
        assert clock[0] <= started + PATIENCE_SECONDS
    assert clock[0] == started + PATIENCE_SECONDS


def test_after_a_failure_the_next_change_makes_it_try_again(
    session: Session, other: Session, router: Router, clock: list[float]
) -> None:
    restock = Restock()
    for name in "abc":
        other.apps.create(AppName(name))
    restock.look(session)
    clock[0] += QUIET_SECONDS
    router.broken = True
    with pytest.raises(RouterFailed):
        restock.reload_due(session)
    assert restock.next_due() is None
    router.broken = False
    other.properties.set(0, "any", "thing", "changes")
    restock.look(session)
    clock[0] += QUIET_SECONDS
    restock.reload_due(session)
    assert len(router.reloads) == 1
