"""The agent's plan of renewals, with its clock in the test's hands."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from paas.agent.renewals import LOOK_SECONDS, RETRY_SECONDS, Renewals
from paas.deploy.routing import acme
from paas.deploy.session import Session
from paas.model.names import AppName
from paas.settings import Settings
from paas.store.apps import App
from paas.store.certificates import AUTO

HOUR = 3600.0
START = 1_000_000.0


class Bench:
    """A plan, its clock, and the names of the apps whose certificates it had got."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.time = START
        self.got: list[str] = []
        self.well = True
        self.pool = ThreadPoolExecutor(1)
        self.ended = 0
        self.plan = self.anew()

    def anew(self) -> Renewals:
        """What a restarted agent begins with."""
        return Renewals(now=lambda: self.time, run=self.run)

    def run(self, settings: Settings, app: str) -> bool:
        self.got.append(app)
        return self.well

    def turn(self, seconds: float = 0.0) -> list[str]:
        """What is started so many seconds later, and its end."""
        self.time += seconds
        before = len(self.got)
        self.plan.start_due(self.session, self.pool, self._end)
        self.pool.submit(lambda: None).result()
        return self.got[before:]

    def _end(self) -> None:
        self.ended += 1
        self.plan.look_now()


@pytest.fixture
def bench(session: Session) -> Iterator[Bench]:
    bench = Bench(session)
    yield bench
    bench.pool.shutdown()


def make(session: Session, name: str, *domains: str) -> App:
    app = session.apps.create(AppName(name))
    session.domains.clear(app.id)
    for domain in domains:
        session.domains.add(app.id, domain)
    session.properties.set(app.id, acme.NAMESPACE, AUTO, "on")
    return app


def test_nothing_is_due_where_nobody_wants_any(bench: Bench) -> None:
    bench.session.apps.create(AppName("plain"))
    make(bench.session, "local", "local.localhost", "*.example.com")
    assert bench.turn() == []
    assert bench.plan.next_due() == LOOK_SECONDS


def test_new_domains_are_asked_for_at_once_and_failed_ones_when_their_time_comes(bench: Bench) -> None:
    app = make(bench.session, "web", "a.example.com")
    attempts = bench.session.attempts
    assert bench.turn() == ["web"] and bench.ended == 1
    attempts.begin(app, ["a.example.com"], bench.time)
    attempts.failed(app, "a.example.com", "no", bench.time)
    assert bench.turn() == []
    assert bench.plan.next_due() == HOUR
    # A restart changes nothing, another domain has nothing to do with it.
    bench.plan = bench.anew()
    assert bench.turn(HOUR / 2) == [] and bench.plan.next_due() == HOUR / 2
    bench.session.domains.add(app.id, "b.example.com")
    assert bench.turn() == []  # nobody said so
    bench.plan.look_now()
    assert bench.turn() == ["web"]
    attempts.begin(app, ["b.example.com"], bench.time)
    attempts.succeeded(app, "b.example.com", bench.time + 10 * HOUR)
    assert bench.turn() == []
    assert bench.turn(HOUR / 2) == ["web"]


def test_a_run_that_did_not_even_begin_is_no_reason_for_a_storm(bench: Bench) -> None:
    app = make(bench.session, "web", "a.example.com")
    bench.well = False
    assert bench.turn() == ["web"]
    assert bench.turn(1) == [] and bench.plan.next_due() == RETRY_SECONDS - 1
    # A domain that nobody has tried yet does not wait for it.
    bench.session.domains.add(app.id, "b.example.com")
    bench.plan.look_now()
    assert bench.turn(1) == ["web"]
    assert bench.turn(1) == []
    assert bench.turn(RETRY_SECONDS) == ["web"]


def test_what_the_authority_asked_of_everybody_counts_for_all(bench: Bench) -> None:
    make(bench.session, "web", "a.example.com")
    bench.session.properties.set(0, acme.NAMESPACE, acme.WAIT_UNTIL, str(START + 2 * HOUR))
    assert bench.turn() == [] and bench.plan.next_due() == LOOK_SECONDS
    assert bench.turn(HOUR) == []
    assert bench.turn(HOUR) == ["web"]


def test_an_app_that_goes_and_a_clock_that_is_put_back(bench: Bench) -> None:
    app = make(bench.session, "web", "a.example.com")
    bench.session.attempts.begin(app, ["a.example.com"], bench.time)
    assert bench.turn() == [] and bench.plan.next_due() == 60
    bench.session.apps.delete(app)
    assert bench.turn(60) == [] and bench.plan.next_due() > 0
    make(bench.session, "other", "b.example.com")
    assert bench.turn(-2 * HOUR) == ["other"]
