"""Containers that ended and that the engine does not start again: the agent does, ever less often.

The engine itself repeats what failed, ten times with growing pauses, but neither an exit with code 0 nor an eleventh
failure. A process of an app is to run, so it is started again here: after one second, two, four, … at most two minutes;
unless a restart policy was chosen that says otherwise.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field

from paas.deploy.containers.resources import stays_ended
from paas.deploy.session import Session
from paas.errors import PaasError
from paas.store.locks import app_lock

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 120.0
# A container that stayed up for so long begins with the first pause again.
STEADY_SECONDS = 300.0


@dataclass
class Revival:
    """When a container is started again (monotonic seconds), and how long it was waited for."""

    due: float
    pause: float


@dataclass
class Revivals:
    """Which containers wait to be started again."""

    waiting: dict[str, Revival] = field(default_factory=dict)
    pauses: dict[str, tuple[float, float]] = field(default_factory=dict)

    def ended(self, session: Session, container_id: str) -> None:
        """A container of ours ended: if it serves and the engine leaves it, plan its start."""
        process = session.releases.process(container_id)
        state = session.containers.find(container_id) if process else None
        if process is None or state is None or state.running or state.status == "restarting":
            return
        app = session.apps.by_id(process.app_id)
        if app is None or stays_ended(session, app, process.process_type, state):
            return
        now = time.monotonic()
        at, pause = self.pauses.get(container_id, (now, FIRST_PAUSE_SECONDS / 2))
        pause = FIRST_PAUSE_SECONDS if now - at > STEADY_SECONDS else min(pause * 2, LONGEST_PAUSE_SECONDS)
        self.waiting[container_id] = Revival(now + pause, pause)

    def next_due(self) -> float | None:
        """Seconds until the next one, None when none waits."""
        return (
            max(0.0, min(item.due for item in self.waiting.values()) - time.monotonic())
            if self.waiting
            else None
        )

    def start_due(self, session: Session) -> None:
        """Start those whose time has come, unless somebody works on their app or has stopped it."""
        now = time.monotonic()
        for container_id, item in list(self.waiting.items()):
            if item.due > now:
                continue
            del self.waiting[container_id]
            self.pauses[container_id] = (now, item.pause)
            with contextlib.suppress(PaasError):
                if not self._start(session, container_id):
                    self.waiting[container_id] = Revival(now + item.pause, item.pause)
        if not self.pauses:
            return
        serving = {process.container_id for process in session.releases.all_processes()}
        self.pauses = {key: value for key, value in self.pauses.items() if key in serving}

    def _start(self, session: Session, container_id: str) -> bool:
        """Returns False where it is to be tried again: somebody works on the app."""
        process = session.releases.process(container_id)
        if process is None:
            return True
        lock = app_lock(session.settings, process.app_id)
        try:
            app = session.apps.by_id(process.app_id)
            if app is None or app.stopped:
                return True
            if not lock.try_acquire():
                return False
            session.containers.start(container_id, process.name)
            return True
        finally:
            lock.release()
