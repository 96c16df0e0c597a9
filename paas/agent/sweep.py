"""When the agent looks at the containers of `run` again: after one began or ended, and when one is due; and then at layers
that clients began to send and never went on with."""

from __future__ import annotations

import time
from dataclasses import dataclass

from paas.deploy.run_containers import sweep
from paas.deploy.session import Session
from paas.store.uploads import forget_old

# Of a command that was killed nobody tells.
LOOK_SECONDS = 600.0
RETRY_SECONDS = 5.0


@dataclass
class Sweeper:
    """`due` in monotonic seconds."""

    due: float = 0.0

    def next_due(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self.due - time.monotonic())

    def look_now(self) -> None:
        self.due = 0.0

    def sweep_due(self, session: Session) -> None:
        """Remove what is over, if it is time to look. Raises PaasError when the engine does not answer."""
        if self.next_due() > 0:
            return
        self.due = time.monotonic() + RETRY_SECONDS
        forget_old(session.settings)
        soonest = sweep(session)
        self.due = time.monotonic() + min(LOOK_SECONDS, LOOK_SECONDS if soonest is None else soonest)
