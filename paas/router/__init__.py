"""How requests arrive: HAProxy in front of all apps, or a loopback port for each where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from paas.router import binary
from paas.router.direct import Direct
from paas.router.haproxy import Change, HAProxy
from paas.router.requests import Request, Traffic
from paas.router.routes import Port, Route, Routes, Server
from paas.router.runtime import RouterFailed, RouterNotRunning
from paas.settings import Settings

__all__ = [
    "Change",
    "Direct",
    "HAProxy",
    "Port",
    "Route",
    "Router",
    "RouterFailed",
    "RouterNotRunning",
    "Routes",
    "Server",
    "choose",
]


class Router(Protocol):
    """What a rollout and the agent need of a router; `HAProxy` documents each."""

    @property
    def publishes_ports(self) -> bool:
        """Whether web processes must be published on a loopback port to be reachable."""

    @property
    def missing(self) -> str | None:
        """What is missing for domains and how to get it, one line; None when nothing is."""

    def apply(self, routes: Routes, version: int | None = None) -> Change: ...

    def switch(self, route: Route, version: int) -> Change | None: ...

    def settle(self, version: int) -> None: ...

    def reload(self, routes: Routes, version: int | None = None) -> Change: ...

    def out_of_step(self, routes: Routes) -> int: ...

    def low(self, highest_slot: int) -> bool: ...

    def refusal(self, port: int) -> str | None: ...

    def drained(self, slot: int, server_name: str) -> bool: ...

    def remove(self, slot: int, server_name: str) -> None: ...

    def requests(self, slot: int) -> list[Request]: ...

    def follow_requests(self, slot: int) -> Iterator[Request]: ...

    def starts(self) -> Iterator[None]: ...

    def traffic(self, slot: int | None = None) -> dict[int, Traffic]: ...

    def url(self, domain: str, published_port: int | None = None) -> str: ...


def choose(settings: Settings) -> Router:
    """HAProxy where the program is there and new enough, running or not; else loopback ports."""
    missing = binary.missing()
    return HAProxy(settings) if missing is None else Direct(missing)
