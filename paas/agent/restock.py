"""The router's stock of spare backends, extended by a seamless reload when nobody is at work.

An app that finds none left has the router reloaded at once; this is so that it seldom comes to that.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from paas.deploy.session import Session
from paas.store import routing

QUIET_SECONDS = 30.0  # without a change of the database
PATIENCE_SECONDS = 900.0  # with changes all the time


@dataclass
class Restock:
    """`due` in monotonic seconds, None while there are spares enough; `latest`: then even if it is not quiet."""

    due: float | None = None
    latest: float = 0.0
    _seen: int | None = None

    def look(self, session: Session) -> None:
        """Take over what has changed since the last call."""
        seen = session.database.changes()
        if seen == self._seen:
            return
        self._seen = seen
        now = time.monotonic()
        if not session.router.low(session.apps.highest_slot()):
            self.due = None
            return
        if self.due is None:
            self.latest = now + PATIENCE_SECONDS
        self.due = min(now + QUIET_SECONDS, self.latest)

    def next_due(self) -> float | None:
        """Seconds until the reload, None when none is planned."""
        return None if self.due is None else max(0.0, self.due - time.monotonic())

    def reload_due(self, session: Session) -> None:
        """Reload if it is time to. Raises RouterFailed; then it is tried again after the next change."""
        self.look(session)
        if self.due is None or self.due > time.monotonic():
            return
        self.due = None
        with session.routing():
            version = routing.version(session.database)
            session.router.reload(session.routes(), version)
