"""Operations: recorded changes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from paas.errors import PaasError

OperationStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
MASK = "********"
# Shorter ones are in every other word, so that masks would spoil a message, and their places would tell the secret.
SHORTEST_MASKED = 4


class NoSuchOperation(PaasError):
    """Operation #{id} not found. See the list with operations"""


class OperationEnded(PaasError):
    """Operation #{id} has already {status}. Read its log with operation:logs {id}"""


@dataclass(frozen=True)
class Operation:
    """A change: who asked for what, when (epoch seconds), in which process, and how it ended."""

    id: int
    app_id: int | None
    app_name: str | None
    kind: str
    words: str
    caller: str
    door: str
    status: OperationStatus
    created_at: float
    started_at: float | None
    finished_at: float | None
    pid: int
    pid_started: str
    message: str
    release: int | None
    steps: str = "[]"
    committed: int = 0

    @property
    def open(self) -> bool:
        """Not ended yet."""
        return self.status in ("queued", "running")

    @property
    def steps_taken(self) -> list[dict[str, Any]]:
        """What took how long (paas.steps.in_milliseconds); none of one that has not ended or was killed."""
        found: list[dict[str, Any]] = json.loads(self.steps)
        return found


def without(text: str, secret: str) -> str:
    """`text`, of another program, with the mask wherever `secret` is in it."""
    return text.replace(secret, MASK) if len(secret) >= SHORTEST_MASKED else text
