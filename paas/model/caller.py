"""Who asks, through which door."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Door = Literal["host", "ssh", "hook"]


@dataclass(frozen=True)
class Caller:
    """One command's caller.

    `name` is the SSH key's name, or the user's on the host. `environment` holds only variables that the gateway
    let through (TERM, GIT_PROTOCOL, and for hooks git's quarantine and push options). `descriptors` are open
    file descriptors that a parent command handed to a hook, in the order in which the parent named them.
    """

    name: str
    door: Door
    key_id: int | None = None
    environment: dict[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()
