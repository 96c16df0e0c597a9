"""Scheduled tasks: when each is due next, and starting those whose time has come.

A run is a command of its own at the dispatcher (`cron:run --detach`), so neither a long one nor the end of the agent
matters to the other. What was due while the agent was down is not made up for.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from paas.agent.command import command
from paas.deploy.files import cron
from paas.deploy.session import Session
from paas.model.cron import CronTask, late, next_due
from paas.settings import Settings

STARTED_AT_ONCE = 4
# A clock that was set, or a machine that slept, tells nobody: then the plan is looked at again after so long.
LOOK_SECONDS = 60.0
LOCALTIME = Path("/etc/localtime")

# An app's id and a task's key.
Planned = tuple[int, str]


def host_zone() -> tzinfo:
    """The zone in which schedules are read: TZ where it names one, else the machine's."""
    name = os.environ.get("TZ", "").removeprefix(":")
    try:
        if name:
            return ZoneInfo(name)
        with LOCALTIME.open("rb") as data:
            return ZoneInfo.from_file(data, key="localtime")
    except (OSError, ValueError, KeyError):
        return UTC


@dataclass
class Schedule:
    """When each task comes next, in epoch seconds. `now` and `start` are the clock and what starts a run."""

    zone: tzinfo = field(default_factory=host_zone)
    now: Callable[[], float] = time.time
    due: dict[Planned, float] = field(default_factory=dict)
    tasks: dict[Planned, CronTask] = field(default_factory=dict)
    _seen: int | None = None
    _looked_at: float = 0.0

    def update(self, session: Session) -> None:
        """Take over what deploys, rollbacks and removals have changed since the last call."""
        seen = session.database.changes()
        if seen == self._seen:
            return
        self._seen = seen
        self.plan(session.releases.scheduled())

    def plan(self, tasks: dict[int, tuple[CronTask, ...]]) -> None:
        """Plan new tasks from now on; those that are planned already keep their time."""
        now = self.now()
        self.tasks = {(app_id, task.key): task for app_id, items in tasks.items() for task in items}
        self.due = {
            name: self.due.get(name) or next_due(task.schedule, now, self.zone)
            for name, task in self.tasks.items()
        }

    def next_due(self) -> float | None:
        """Seconds until something is to be looked at, None when nothing is planned."""
        if not self.due:
            return None
        return min(max(0.0, min(self.due.values()) - self.now()), LOOK_SECONDS)

    def take_due(self) -> Iterator[Planned]:
        """Those whose time has come, each planned anew; one that is too late is left out."""
        now = self.now()
        if now < self._looked_at:
            # The clock was put back: what was planned by the old one may be far off.
            self.due = {name: next_due(task.schedule, now, self.zone) for name, task in self.tasks.items()}
        self._looked_at = now
        for name, due in self.due.items():
            if due <= now:
                self.due[name] = next_due(self.tasks[name].schedule, now, self.zone)
                if not late(due, now):
                    yield name

    def start_due(self, session: Session, pool: ThreadPoolExecutor) -> None:
        """Start those whose time has come, unless they, their app or all apps are suspended or stopped; and clean up
        after runs that were killed."""
        cron.end_killed(session)
        for app_id, key in self.take_due():
            app = session.apps.by_id(app_id)
            if app is not None and cron.runs_now(session, app, key):
                task = self.tasks[app_id, key]
                pool.submit(start, session.settings, app.name, task.id(app.name))


def start(settings: Settings, app: str, task_id: str) -> None:
    """Have the dispatcher run a task; what it refuses stands in the service's log."""
    text = command(settings, "cron", "cron:run", app, task_id, "--detach")
    if text is not None:
        print(f"agent: the task {task_id} of {app} was not started: {text}", file=sys.stderr, flush=True)
