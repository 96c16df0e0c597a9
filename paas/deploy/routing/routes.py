"""From the database to what the router should do: where each app is reached, and by which processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from paas.deploy import plugged
from paas.model.network import listeners
from paas.model.port import HTTP_PORT, HTTPS_PORT, PortMapping
from paas.model.release import WEB, Process
from paas.router.routes import ANY_HOST, Certificate, Port, Route, Routes, Server, covers
from paas.settings import Settings
from paas.store.apps import App
from paas.store.certificates import AUTO, THUMBPRINT, Stored
from paas.store.properties import GLOBAL

if TYPE_CHECKING:
    from paas.deploy.session import Session

LOOPBACK = "127.0.0.1"
NAMESPACES = ("certs", "domains", "network", "ports", "proxy", "router")


@dataclass(frozen=True)
class Reach:
    """How one app is to be reached.

    `domains` are empty where they are disabled. `mappings` are those that were set, else the detected one, whose
    container port is 0: the one that the process was started with. `proxied` is False after proxy:disable. `listeners`
    are what network:set static-web-listener puts in the place of the app's processes. Each of the `certificates` is for
    domains of this app only; `redirect` and `hsts` are about the domains that they are for. `acme` is set while the app
    has automatic certificates.
    """

    app: App
    domains: tuple[str, ...]
    mappings: tuple[PortMapping, ...]
    proxied: bool = True
    idle_seconds: int | None = None
    force_ssl: bool = False
    listeners: tuple[Server, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    redirect: bool = True
    hsts: bool = True
    page: str | None = None
    acme: str | None = None

    def secured(self, domain: str) -> bool:
        """Whether there is a certificate for the domain."""
        return any(item.covers(domain) for item in self.certificates)

    def by_domain(self, settings: Settings) -> bool:
        """Whether the router's own port leads to the app, by its domains."""
        own = [item.scheme for item in self.mappings if is_routers_own(settings, item)]
        return self.proxied and ("http" in own or ("https" in own and bool(self.certificates)))

    def host_ports(self, settings: Settings) -> list[tuple[PortMapping, tuple[str, ...]]]:
        """The mappings of other ports that the router can serve, each with the domains that it is asked for by."""
        if not self.proxied:
            return []
        found = []
        for item in self.mappings:
            if item.scheme in ("http", "https") and not is_routers_own(settings, item):
                found.append((item, self.domains or (ANY_HOST,)))
            elif item.scheme == "tcp":
                found.append((item, ()))
        return found


@dataclass(frozen=True)
class Conflict:
    """A port of the host that `app` wanted and that another app (None: the router itself) has."""

    number: int
    app_id: int
    owner: str | None


def is_routers_own(settings: Settings, mapping: PortMapping) -> bool:
    """Whether a mapping is about a port that the router serves all domains on; 80 and 443 are that everywhere."""
    if mapping.scheme == "https":
        return mapping.host in (HTTPS_PORT, settings.https_listen.port)
    return mapping.scheme == "http" and mapping.host in (HTTP_PORT, settings.http_listen.port)


def reaches(session: Session, only: App | None = None) -> list[Reach]:
    """How every app, or `only` one, is to be reached, by id: a few queries, however many apps there are."""
    database = session.database
    mine = f" app_id IN ({GLOBAL}, {only.id})" if only else " TRUE"  # numbers
    domains: dict[int, list[str]] = {}
    for row in database.rows(f"SELECT app_id, domain FROM domains WHERE{mine} ORDER BY rowid"):  # noqa: S608
        domains.setdefault(row["app_id"], []).append(row["domain"])
    options: dict[tuple[int, str, str], str] = {}
    marks = ", ".join("?" for _ in NAMESPACES)
    query = f"SELECT * FROM properties WHERE{mine} AND namespace IN ({marks})"  # noqa: S608
    for row in database.rows(query, NAMESPACES):
        options[row["app_id"], row["namespace"], row["key"]] = row["value"]
    certificates: dict[int, list[Stored]] = {}
    for item in session.certificates.all(only):
        certificates.setdefault(item.app_id, []).append(item)
    found = []
    for app in sorted(session.apps.all(), key=lambda app: app.id) if only is None else (only,):
        vhosts = (app.id, "domains", "disabled") not in options
        its = tuple(domains.get(app.id, ())) if vhosts else ()
        idle = options.get((app.id, "router", "idle-timeout"))
        found.append(
            Reach(
                app=app,
                domains=its,
                mappings=_mappings(options, app.id, vhosts),
                proxied=options.get((app.id, "proxy", "disabled")) != "true",
                idle_seconds=int(idle) if idle else None,
                force_ssl=(app.id, "router", "force-ssl") in options,
                listeners=static_servers(options.get((app.id, "network", "static-web-listener"), "")),
                certificates=_certificates(session, certificates.get(app.id, ()), its),
                page=options.get((app.id, "router", "page")),
                redirect=_either(options, app.id, "redirect"),
                hsts=_either(options, app.id, "hsts"),
                acme=options.get((GLOBAL, "certs", THUMBPRINT)) if (app.id, "certs", AUTO) in options else None,
            )
        )
    return found


def static_servers(text: str) -> tuple[Server, ...]:
    """The servers of a static-web-listener, named after where they are."""
    return tuple(
        Server(f"static-{host.replace(':', '_').strip('_')}-{port}", host, port)
        for host, port in listeners(text)
    )


def _either(options: dict[tuple[int, str, str], str], app_id: int, key: str) -> bool:
    """The app's yes or no, else the global one, else yes."""
    return (options.get((app_id, "certs", key)) or options.get((GLOBAL, "certs", key))) != "false"


def _certificates(
    session: Session, stored: Iterable[Stored], domains: tuple[str, ...]
) -> tuple[Certificate, ...]:
    """The app's certificates, each for those of the app's domains that no earlier one is for; its own comes first."""
    found: list[Certificate] = []
    for item in stored:
        left = (domain for domain in domains if not any(domain in other.domains for other in found))
        mine = tuple(domain for domain in left if covers(item.names, domain))
        if mine:
            # Another name whenever anything of it is another: the router compares names only.
            mark = hashlib.sha256(" ".join((item.fingerprint, *mine)).encode()).hexdigest()[:16]
            load = partial(session.certificates.bundle, item.id)
            found.append(Certificate(f"{item.app_id}-{mark}", mine, load))
    return tuple(found)


def _mappings(options: dict[tuple[int, str, str], str], app_id: int, vhosts: bool) -> tuple[PortMapping, ...]:
    stored = options.get((app_id, "ports", "map"))
    if stored:
        return tuple(PortMapping.parse(text) for text in json.loads(stored))
    port = options.get((app_id, "proxy", "proxy-port")) or options.get((GLOBAL, "proxy", "proxy-port"))
    if not port:
        port = str(HTTP_PORT) if vhosts else options.get((app_id, "ports", "random"))
    return (PortMapping("http", int(port), 0),) if port else ()


def routes(session: Session, changed: App | None = None, processes: list[Process] | None = None) -> Routes:
    """What the router should do; for the app `changed`, with `processes` instead of those that are recorded. Processes
    that are down get no requests."""
    servers: dict[int, list[Process]] = {}
    for process in session.releases.all_processes():
        if process.process_type == WEB and (changed is None or process.app_id != changed.id):
            servers.setdefault(process.app_id, []).append(process)
    if changed is not None:
        servers[changed.id] = [item for item in processes or () if item.process_type == WEB]
    return Routes(plugged.changed_routes(session, _own_routes(session, servers))[0])


def lost_domains(session: Session) -> list[plugged.Lost]:
    """What plugins' routes should have and can't, because it is another app's."""
    return plugged.changed_routes(session, _own_routes(session, {}))[1]


def _own_routes(session: Session, servers: dict[int, list[Process]]) -> tuple[Route, ...]:
    everyone = reaches(session)
    lost = {(item.app_id, item.number) for item in conflicts(session.settings, everyone)}
    return tuple(_route(session.settings, reach, servers.get(reach.app.id, []), lost) for reach in everyone)


def route(session: Session, app: App, processes: list[Process] | None = None) -> Route:
    """One app's part of `routes`, with every port that it asks for; what it costs does not grow with the other apps."""
    reach = reaches(session, app)[0]
    found = session.releases.processes(app.id) if processes is None else processes
    serving = sorted((item for item in found if item.process_type == WEB), key=lambda item: item.number)
    return plugged.changed_route(session, app, _route(session.settings, reach, serving, set()))


def _route(settings: Settings, reach: Reach, processes: list[Process], lost: set[tuple[int, int]]) -> Route:
    # Nothing listens at the address of one that is down.
    processes = [process for process in processes if not process.down]
    ports = tuple(
        Port(
            number=mapping.host,
            mode=mapping.scheme,  # type: ignore[arg-type]
            domains=domains,
            servers=tuple(_at(reach, processes, mapping.container)),
        )
        for mapping, domains in reach.host_ports(settings)
        if (reach.app.id, mapping.host) not in lost
    )
    own = reach.listeners or tuple(Server(item.server, item.address, item.port) for item in processes)
    return Route(
        app=reach.app.name,
        app_id=reach.app.id,
        slot=reach.app.slot,
        domains=reach.domains if reach.by_domain(settings) else (),
        servers=own if reach.proxied else (),
        idle_seconds=reach.idle_seconds,
        force_ssl=reach.force_ssl,
        certificates=reach.certificates,
        redirect=reach.redirect,
        page=reach.page,
        hsts=reach.hsts,
        acme=reach.acme,
        ports=ports,
    )


def _at(reach: Reach, processes: list[Process], container: int) -> Iterator[Server]:
    """The processes at another of their ports."""
    yield from reach.listeners
    if reach.listeners:
        return
    for item in processes:
        if not container:
            yield Server(item.server, item.address, item.port)
        elif item.address != LOOPBACK:
            yield Server(item.server, item.address, container)
        elif container == main_container_port(reach.mappings):
            # Only that one is published there; on the host's loopback, its own number is somebody else's.
            yield Server(item.server, item.address, item.port)


def main_container_port(mappings: Iterable[PortMapping]) -> int:
    """The container port that PORT names: of the first http or https mapping, else of the first tcp one, else 0."""
    for schemes in (("http", "https"), ("tcp",)):
        for item in mappings:
            if item.scheme in schemes:
                return item.container
    return 0


def conflicts(settings: Settings, everyone: list[Reach]) -> list[Conflict]:
    """Ports of the host that can't be shared as they are mapped. Of two apps the older one has it."""
    router = {HTTP_PORT, HTTPS_PORT, settings.http_listen.port, settings.https_listen.port}
    whole: dict[int, str] = {}  # tcp ports, and who answers for any host on the http ports
    modes: dict[int, tuple[str, str]] = {}
    found = []
    for reach in everyone:
        seen: set[int] = set()
        for mapping, domains in reach.host_ports(settings):
            number, name = mapping.host, str(reach.app.name)
            mode, first = modes.get(number, (mapping.scheme, name))
            alone = mapping.scheme == "tcp" or domains == (ANY_HOST,)
            if number in router:
                found.append(Conflict(number, reach.app.id, None))
            elif mode != mapping.scheme or number in seen:
                found.append(Conflict(number, reach.app.id, first))
            elif alone and number in whole:
                found.append(Conflict(number, reach.app.id, whole[number]))
            else:
                modes[number] = mode, first
                seen.add(number)
                if alone:
                    whole[number] = name
    return found
