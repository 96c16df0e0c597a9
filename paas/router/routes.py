"""What should be reachable: the apps' domains and the addresses of their processes.

Plain values with no idea of HAProxy. Each checks itself when it is made, because every field ends up in a configuration
file or in a command line of the runtime API, where a space or a line break would become syntax.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import cached_property

SERVER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
DOMAIN = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


@dataclass(frozen=True)
class Server:
    """One process that takes requests. `name` is unique in its slot and never used again for another container."""

    name: str
    address: str
    port: int

    def __post_init__(self) -> None:
        """Raise ValueError for a name, address or port that can't be written down safely."""
        if not SERVER_NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a server name")
        ipaddress.ip_address(self.address)
        if not 0 < self.port < 65536:
            raise ValueError(f"{self.port} is not a port")

    @property
    def endpoint(self) -> str:
        """``address:port``, an IPv6 address in brackets."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Route:
    """One app: its domains (lower case; ``*.x`` is every name below x) lead to its servers by backend `slot` (1…).

    `idle_seconds`: how long a response may be silent, None for the router's own limit. `force_ssl`: http is redirected.
    """

    app: str
    app_id: int
    slot: int
    domains: tuple[str, ...]
    servers: tuple[Server, ...]
    idle_seconds: int | None = None
    force_ssl: bool = False

    @property
    def entries(self) -> dict[str, str]:
        """The app's lines in the router's map: its domains, and, under keys that no domain can be, its options."""
        found = dict.fromkeys(self.domains, f"slot{self.slot}")
        if self.idle_seconds is not None:
            found[f"slot{self.slot}/idle"] = str(self.idle_seconds * 1000)
        if self.force_ssl:
            found[f"slot{self.slot}/ssl"] = "1"
        return found

    def __post_init__(self) -> None:
        """Raise ValueError for a slot below 1, a domain that is none, or a server name used twice."""
        if self.slot < 1:
            raise ValueError(f"{self.slot} is not a slot")
        for domain in self.domains:
            if not DOMAIN.fullmatch(domain):
                raise ValueError(f"{domain!r} is not a domain")
        if len({server.name for server in self.servers}) != len(self.servers):
            raise ValueError(f"app {self.app} has two servers of one name")


@dataclass(frozen=True)
class Routes:
    """Everything that should be reachable. No slot and no domain occurs twice."""

    routes: tuple[Route, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError when two apps have the same slot or the same domain."""
        if len({route.slot for route in self.routes}) != len(self.routes):
            raise ValueError("two apps have the same slot")
        if len(self.domains) != sum(len(set(route.domains)) for route in self.routes):
            raise ValueError("two apps have the same domain")

    @property
    def highest_slot(self) -> int:
        """The highest slot in use, 0 for none."""
        return max((route.slot for route in self.routes), default=0)

    @cached_property
    def domains(self) -> dict[str, int]:
        """Domain → slot."""
        return {domain: route.slot for route in self.routes for domain in route.domains}

    @cached_property
    def entries(self) -> dict[str, str]:
        """Every line of the router's map."""
        return {key: value for route in self.routes for key, value in route.entries.items()}

    @cached_property
    def servers(self) -> dict[tuple[int, str], Server]:
        """(slot, server name) → server."""
        return {(route.slot, server.name): server for route in self.routes for server in route.servers}
