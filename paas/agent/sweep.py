"""When the agent looks for containers that are over: after one of `run` began or ended, when one is due, when a command
could not clean up, and after the engine was away; and for layers that clients began to send and never went on with."""

from __future__ import annotations

import time
from dataclasses import dataclass

from paas.deploy.containers.run_containers import sweep
from paas.deploy.orphans import clean
from paas.deploy.session import Session
from paas.store.uploads import forget_old

# Of a command that was killed nobody tells.
LOOK_SECONDS = 600.0
RETRY_SECONDS = 5.0


@dataclass
class Sweeper:
    """`due` in monotonic seconds."""

    due: float = 0.0
    _cleanings: int = 0

    def next_due(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self.due - time.monotonic())

    def look_now(self) -> None:
        """A container of `run` began or ended."""
        self.due = 0.0

    def clean_now(self) -> None:
        """Something else may have been left: twice, as whoever tells may be there a moment longer."""
        self.due, self._cleanings = 0.0, 2

    def sweep_due(self, session: Session) -> None:
        """Remove what is over, if it is time to look. Raises PaasError when the engine does not answer."""
        if self.next_due() > 0:
            return
        self.due = time.monotonic() + RETRY_SECONDS
        forget_old(session.settings)
        if self._cleanings:
            clean(session)
            self._cleanings -= 1
        latest = RETRY_SECONDS if self._cleanings else LOOK_SECONDS
        soonest = sweep(session)
        self.due = time.monotonic() + min(latest, latest if soonest is None else soonest)
