"""What should be reachable: the apps' domains and the addresses of their processes.

Plain values with no idea of HAProxy. Each checks itself when it is made, because every field ends up in a configuration
file or in a command line of the runtime API, where a space or a line break would become syntax.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, get_args

from paas.model.domain import DOMAIN

SERVER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
PortMode = Literal["http", "https", "tcp"]
THUMBPRINT = re.compile(r"[A-Za-z0-9_-]+")
REDIRECT, HSTS, MAINTENANCE = "r", "h", "m"  # what follows a backend's name in the map
REDIRECT_CODES = (301, 302, 307, 308)
TARGET = re.compile(r"(https?:)?//[A-Za-z0-9._:-]+")
USER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")
CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
PAGE_BYTES = 8192  # base64 and the command around it have to fit into one of HAProxy's buffers
ANY_HOST = "*"  # the domain of a port that leads to one app, whatever host is asked for


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
class Port:
    """A port of the host beside the router's own that leads to an app's servers.

    An http or https port finds the app by its `domains` (ANY_HOST: the app has the port for itself), a tcp port has none.
    """

    number: int
    mode: PortMode
    domains: tuple[str, ...] = ()
    servers: tuple[Server, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for what is no port or no domain."""
        if not 0 < self.number < 65536:
            raise ValueError(f"{self.number} is not a port")
        if self.mode not in get_args(PortMode):
            raise ValueError(f"{self.mode!r} is not a mode")
        _check_domains(domain for domain in self.domains if domain != ANY_HOST)


@dataclass(frozen=True, order=True)
class Listener:
    """What no runtime command can add: that the router listens on port `number`, and which app is behind it there."""

    number: int
    mode: PortMode
    slot: int

    @property
    def backend(self) -> str:
        return f"slot{self.slot}.{self.number}"


@dataclass(frozen=True)
class Certificate:
    """What is served over TLS to clients that ask for one of `domains` (exact names and ``*.x``).

    `name` changes whenever the content does. `load` gives chain and key in PEM; it is asked for only when HAProxy does
    not have the certificate yet.
    """

    name: str
    domains: tuple[str, ...]
    load: Callable[[], str] = field(compare=False, repr=False)

    def __post_init__(self) -> None:
        """Raise ValueError for a name or a domain that can't be written down safely."""
        if not SERVER_NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a certificate's name")
        _check_domains(self.domains)

    def covers(self, domain: str) -> bool:
        """Whether it is served for the domain."""
        return covers(self.domains, domain)


def covers(names: Iterable[str], domain: str) -> bool:
    """Whether clients that ask for the domain accept a certificate for these names: a ``*`` stands for one label."""
    return any(name in (domain, f"*.{domain.partition('.')[2]}") for name in names)


@dataclass(frozen=True)
class Redirect:
    """A domain that is answered with another place: `target` is ``//host`` (same scheme) or ``https://host``, path and
    query follow it; `code` one of REDIRECT_CODES."""

    domain: str
    target: str
    code: int = 301

    def __post_init__(self) -> None:
        """Raise ValueError for what can't be written down safely."""
        _check_domains((self.domain,))
        if not TARGET.fullmatch(self.target) or self.code not in REDIRECT_CODES:
            raise ValueError(f"{self.target!r} ({self.code}) is no redirect")


@dataclass(frozen=True)
class User:
    """Somebody who may enter a protected app; `password` is a bcrypt hash."""

    name: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        """Raise ValueError for a name that can't be written down safely, or a password that is no hash."""
        if not USER_NAME.fullmatch(self.name) or not BCRYPT.fullmatch(self.password):
            raise ValueError("not a user with a bcrypt hash")


@dataclass(frozen=True)
class Route:
    """One app: its domains (lower case; ``*.x`` is every name below x) lead to its servers by backend `slot` (1…).

    `idle_seconds`: how long a response may be silent, None for the router's own limit. `force_ssl`: http is redirected
    for every domain. `certificates`: http is redirected for the domains that they cover, unless `redirect` is False;
    `hsts`: browsers are told to remember that. `acme`: the account's thumbprint, which answers an authority's questions
    about the app's domains. `ports`: where else it is reached; each has a backend of its own, because its servers listen
    elsewhere. `page`: HTML instead of the router's own when no process answers, PAGE_BYTES at the most; `maintenance`:
    that page at once, whatever runs. `redirects`: domains that lead somewhere else. `users`: who may enter, everybody
    where there are none.
    """

    app: str
    app_id: int
    slot: int
    domains: tuple[str, ...]
    servers: tuple[Server, ...]
    idle_seconds: int | None = None
    force_ssl: bool = False
    ports: tuple[Port, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    redirect: bool = True
    hsts: bool = True
    acme: str | None = None
    page: str | None = None
    maintenance: bool = False
    redirects: tuple[Redirect, ...] = ()
    users: tuple[User, ...] = ()

    @property
    def backend(self) -> str:
        return f"slot{self.slot}"

    def _led_to(self, backend: str, domain: str = "") -> str:
        """The map's value for a domain: the backend, and how its requests are treated (``slot3:rh``)."""
        covered = any(item.covers(domain) for item in self.certificates)
        flags = REDIRECT if domain and (self.force_ssl or (covered and self.redirect)) else ""
        flags += HSTS if domain and (self.force_ssl or (covered and self.hsts)) else ""
        flags += MAINTENANCE if self.maintenance else ""
        return f"{backend}:{flags}" if flags else backend

    @property
    def listeners(self) -> tuple[Listener, ...]:
        return tuple(Listener(port.number, port.mode, self.slot) for port in self.ports)

    @property
    def entries(self) -> dict[str, str]:
        """The app's lines in the router's map: its domains (on another port ``domain:port``), and, under keys that no
        domain can be, its options."""
        found = {domain: self._led_to(self.backend, domain) for domain in self.domains}
        found |= {item.domain: f"={item.code}|{item.target}" for item in self.redirects}
        backends = [self.backend]
        for port, listener in zip(self.ports, self.listeners, strict=True):
            found |= {f"{domain}:{port.number}": self._led_to(listener.backend) for domain in port.domains}
            backends.append(listener.backend)
        if self.idle_seconds is not None:
            found |= dict.fromkeys((f"{name}/idle" for name in backends), str(self.idle_seconds * 1000))
        if self.page is not None:
            found |= dict.fromkeys((f"{name}/page" for name in backends), encoded_page(self.page))
        if self.acme is not None:
            found[f"{self.backend}/acme"] = self.acme
        if self.ports:
            found[f"{self.backend}/also"] = ",".join(backends[1:])
        return found

    def __post_init__(self) -> None:
        """Raise ValueError for a slot below 1, a domain that is none, or a server name or port used twice."""
        if self.slot < 1:
            raise ValueError(f"{self.slot} is not a slot")
        _check_domains(self.domains)
        if self.page is not None and len(self.page.encode()) > PAGE_BYTES:
            raise ValueError(f"the page of {self.app} is larger than {PAGE_BYTES} bytes")
        if self.acme is not None and not THUMBPRINT.fullmatch(self.acme):
            raise ValueError(f"{self.acme!r} is not a thumbprint")
        for servers in (self.servers, *(port.servers for port in self.ports)):
            if len({server.name for server in servers}) != len(servers):
                raise ValueError(f"app {self.app} has two servers of one name")
        if len({port.number for port in self.ports}) != len(self.ports):
            raise ValueError(f"app {self.app} has a port twice")


@dataclass(frozen=True)
class Routes:
    """Everything that should be reachable. No slot and no domain occurs twice."""

    routes: tuple[Route, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError when two apps have the same slot, the same domain or a port that can't be shared."""
        if len({route.slot for route in self.routes}) != len(self.routes):
            raise ValueError("two apps have the same slot")
        if len(self.entries) != sum(len(route.entries) for route in self.routes):
            raise ValueError("two apps have the same domain")
        modes: dict[int, str] = {}
        for item in self.listeners:
            if modes.setdefault(item.number, item.mode) != item.mode:
                raise ValueError("two apps have the same port")
            if item.mode == "tcp":
                modes[item.number] = "taken"

    @property
    def highest_slot(self) -> int:
        """The highest slot in use, 0 for none."""
        return max((route.slot for route in self.routes), default=0)

    @cached_property
    def listeners(self) -> tuple[Listener, ...]:
        """All ports beside the router's own, sorted."""
        return tuple(sorted(item for route in self.routes for item in route.listeners))

    def without(self, numbers: Iterable[int]) -> Routes:
        """The same but for these ports."""
        gone = frozenset(numbers)
        if not gone:
            return self
        return Routes(
            tuple(
                replace(route, ports=tuple(port for port in route.ports if port.number not in gone))
                for route in self.routes
            )
        )

    @cached_property
    def entries(self) -> dict[str, str]:
        """Every line of the router's map."""
        return {key: value for route in self.routes for key, value in route.entries.items()}

    @cached_property
    def certificates(self) -> dict[str, Certificate]:
        """All certificates by name."""
        return {item.name: item for route in self.routes for item in route.certificates}

    @cached_property
    def servers(self) -> dict[tuple[str, str], Server]:
        """(backend, server name) → server."""
        found = {(route.backend, server.name): server for route in self.routes for server in route.servers}
        for route in self.routes:
            for port, listener in zip(route.ports, route.listeners, strict=True):
                found |= {(listener.backend, server.name): server for server in port.servers}
        return found


def encoded_page(page: str) -> str:
    """A page as the router's map has it. HAProxy would write a line break as ``%0A`` into the answer, so it is one line."""
    return base64.b64encode(CONTROL.sub(" ", page).encode()).decode()


def _check_domains(domains: Iterable[str]) -> None:
    for domain in domains:
        if not DOMAIN.fullmatch(domain):
            raise ValueError(f"{domain!r} is not a domain")
