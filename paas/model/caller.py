"""Who asks, through which door."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from paas.model.names import whole_number

MAX_PUSH_OPTIONS = 100

Door = Literal["host", "ssh", "hook"]


@dataclass(frozen=True)
class Caller:
    """One command's caller.

    `name` is the SSH key's name, or the user's on the host. `environment` holds only variables that the gateway
    let through (TERM, GIT_PROTOCOL, and for hooks git's quarantine and push options). `descriptors` are open
    file descriptors that the command above git handed to a push's hook: its lifeline.
    """

    name: str
    door: Door
    key_id: int | None = None
    environment: dict[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()

    @property
    def push_options(self) -> tuple[str, ...]:
        """What `git push -o` gave, for hooks."""
        count = whole_number(self.environment.get("GIT_PUSH_OPTION_COUNT", ""), 0, MAX_PUSH_OPTIONS) or 0
        return tuple(self.environment.get(f"GIT_PUSH_OPTION_{number}", "") for number in range(count))
