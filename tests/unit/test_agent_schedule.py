"""The agent's plan: which task is due when, with a clock that the test holds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from paas.agent import schedule as scheduling
from paas.agent.schedule import LOOK_SECONDS, Schedule, host_zone
from paas.deploy.session import Session
from paas.model.cron import CronTask
from paas.model.names import AppName
from paas.model.release import WEB, Manifest, Release
from paas.settings import Settings
from paas.store.apps import App
from paas.store.properties import GLOBAL
from paas.store.releases import now as seconds

EVERY_MINUTE = CronTask("a", "* * * * *")
HOURLY = CronTask("b", "@hourly")
NINE = 9 * 3600.0


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(NINE + 10)


@pytest.fixture
def plan(clock: Clock) -> Schedule:
    found = Schedule(UTC, clock)
    found.plan({1: (EVERY_MINUTE, HOURLY)})
    return found


def test_nothing_is_due_at_the_start(plan: Schedule) -> None:
    assert list(plan.take_due()) == []
    assert plan.next_due() == 50


def test_a_task_is_due_once_at_its_time(plan: Schedule, clock: Clock) -> None:
    clock.now = NINE + 60
    assert list(plan.take_due()) == [(1, EVERY_MINUTE.key)]
    assert list(plan.take_due()) == []
    assert plan.next_due() == 60
    clock.now = NINE + 3600
    assert set(plan.take_due()) == {(1, HOURLY.key)}


def test_what_was_missed_is_started_once_or_not_at_all(plan: Schedule, clock: Clock) -> None:
    clock.now = NINE + 60 + 200
    assert list(plan.take_due()) == [(1, EVERY_MINUTE.key)]
    clock.now = NINE + 7200 + 30
    assert list(plan.take_due()) == []
    clock.now = NINE + 7200 + 60
    assert list(plan.take_due()) == [(1, EVERY_MINUTE.key)]


def test_planned_tasks_keep_their_time_through_a_deploy(plan: Schedule, clock: Clock) -> None:
    clock.now = NINE + 61
    plan.plan({1: (EVERY_MINUTE,), 2: (EVERY_MINUTE,)})
    assert list(plan.take_due()) == [(1, EVERY_MINUTE.key)]
    plan.plan({})
    assert plan.next_due() is None


def test_a_clock_that_is_put_back_is_noticed(plan: Schedule, clock: Clock) -> None:
    list(plan.take_due())
    clock.now = 3600.0
    assert list(plan.take_due()) == []
    assert plan.next_due() == 60
    clock.now = 3660.0
    assert list(plan.take_due()) == [(1, EVERY_MINUTE.key)]


def test_a_far_time_is_looked_at_again_before(plan: Schedule) -> None:
    plan.plan({1: (CronTask("c", "@yearly"),)})
    assert plan.next_due() == LOOK_SECONDS


def deployed(session: Session, name: str, *tasks: CronTask) -> App:
    """An app whose current release has these tasks."""
    app = session.apps.create(AppName(name))
    manifest = Manifest({WEB: None}, cron=tasks)
    release = Release(app.id, 1, "pending", 1, seconds(), "", None, None, "sha256:1", "x:1", {}, manifest, {})
    session.releases.add(release)
    session.releases.commit(app, release, [], {}, {}, [])
    return session.apps.get(name)


def test_tasks_are_those_of_the_releases_that_serve(session: Session, clock: Clock) -> None:
    app = deployed(session, "web", EVERY_MINUTE)
    deployed(session, "other")
    session.apps.create(AppName("new"))
    found = Schedule(UTC, clock)
    found.update(session)
    assert list(found.due) == [(app.id, EVERY_MINUTE.key)]


def test_what_is_suspended_or_stopped_is_not_started(
    session: Session, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = deployed(session, "web", EVERY_MINUTE)
    started: list[tuple[Settings, str, str]] = []
    monkeypatch.setattr(scheduling, "start", lambda *words: started.append(words))
    found = Schedule(UTC, clock)
    found.update(session)

    def runs() -> int:
        before = len(started)
        clock.now += 60
        with ThreadPoolExecutor(1) as pool:
            found.start_due(session, pool)
        return len(started) - before

    assert runs() == 1
    assert started == [(session.settings, "web", EVERY_MINUTE.id("web"))]
    for scope, key in (
        (app.id, "maintenance"),
        (GLOBAL, "maintenance"),
        (app.id, f"maintenance.{EVERY_MINUTE.key}"),
    ):
        session.properties.set(scope, "cron", key, "true")
        assert runs() == 0
        session.properties.set(scope, "cron", key, "")
    session.apps.set_stopped(app, True)
    assert runs() == 0
    session.apps.set_stopped(app, False)
    assert runs() == 1


def test_the_zone_is_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert str(host_zone()) == "Asia/Tokyo"
    monkeypatch.setenv("TZ", "no/where")
    assert host_zone() is UTC
    monkeypatch.delenv("TZ")
    assert datetime.now(host_zone()).utcoffset() == datetime.now().astimezone().utcoffset()
