"""Automatic certificates: which apps lack one or have one that is due, and having it got.

Each run is a command of its own at the dispatcher (`certs:renew --due`), so nothing here waits for an authority. When
each domain's turn comes is in the database: neither a restart nor a killed run makes it come earlier.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from paas.agent.command import command
from paas.deploy.routing.acme import wanted
from paas.deploy.session import Session
from paas.settings import Settings

RUNS_AT_ONCE = 4
# Domains that are still due right after a run, which could not even begin, are not tried again before.
RETRY_SECONDS = 60.0
# A clock that was set, or a machine that slept, tells nobody.
LOOK_SECONDS = 3600.0


def get_certificates(settings: Settings, app: str) -> bool:
    """Get an app's certificates; whether all went well. What fails stands in the service's log and the operation's."""
    text = command(settings, "agent", "certs:renew", app, "--due")
    if text is not None:
        print(f"agent: certificates of {app}: {text}", file=sys.stderr, flush=True)
    return text is None


@dataclass
class Renewals:
    """When each app's domains are due, in epoch seconds. `now` and `run` are the clock and what gets certificates."""

    now: Callable[[], float] = time.time
    run: Callable[[Settings, str], bool] = field(default=get_certificates)
    _due: dict[int, dict[str, float]] = field(default_factory=dict)
    _held: dict[int, float] = field(default_factory=dict)
    _running: dict[int, Future[bool]] = field(default_factory=dict)
    _started: dict[int, tuple[float, frozenset[str]]] = field(default_factory=dict)
    _look_at: float = 0.0

    def look_now(self) -> None:
        """Domains or settings have changed, or a run has ended."""
        self._look_at = 0.0

    def next_due(self) -> float:
        """Seconds until something is to be done."""
        return max(0.0, min([self._look_at, *map(self._due_at, self._due)]) - self.now())

    def start_due(self, session: Session, pool: ThreadPoolExecutor, ended: Callable[[], None]) -> None:
        """Start the runs whose time has come; `ended` is called when one is over, from another thread.

        Raises PaasError where the database can't be read.
        """
        now = self.now()
        over = [self._running.pop(app_id) for app_id, run in list(self._running.items()) if run.done()]
        if not all(run.result() for run in over):
            # One that was killed may have stored a certificate and not come to serving it.
            session.reroute()
        if now >= self._look_at or self._look_at > now + LOOK_SECONDS:
            self._look_at = now + RETRY_SECONDS
            self._look(session, now)
            self._look_at = now + LOOK_SECONDS
        for app_id in [app_id for app_id in self._due if self._due_at(app_id) <= now]:
            domains = frozenset(domain for domain, at in self._due.pop(app_id).items() if at <= now)
            app = session.apps.by_id(app_id)
            if app is not None:
                self._started[app_id] = now, domains
                self._running[app_id] = pool.submit(self.run, session.settings, app.name)
                self._running[app_id].add_done_callback(lambda _: ended())

    def _due_at(self, app_id: int) -> float:
        return max(min(self._due[app_id].values()), self._held.get(app_id, 0.0))

    def _look(self, session: Session, now: float) -> None:
        self._due, self._held = {}, {}
        for app, items in wanted(session).items():
            times = {item.domain: item.due_at for item in items if item.obstacle is None}
            if not times or app.id in self._running:
                continue
            self._due[app.id] = times
            due = {domain for domain, at in times.items() if at <= now}
            started, tried = self._started.get(app.id, (0.0, frozenset()))
            if due and due <= tried:
                self._held[app.id] = started + RETRY_SECONDS
            elif not due:
                self._started.pop(app.id, None)
