"""What HAProxy says it is, and the commands that make it what it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from paas.router.configuration import SERVER_OPTIONS, Identity, certificate_file, certificate_line
from paas.router.routes import Routes, Server
from paas.router.rules import CERTIFICATE_LIST, CERTIFICATES, MAP_FILE

MARK = "/mark"  # a key of the map that no domain and no app's option can be; never in the file
DESCRIPTION = "\ndescription: "
PROCESS = "\nPid: "
# Columns of `show servers state`, format 1.
BACKEND, NAME, ADDRESS, ADMIN_STATE, PORT, COLUMNS = 1, 3, 4, 6, 18, 25


@dataclass(frozen=True)
class Running:
    """One server that HAProxy has. `serving` is False while it is drained, in maintenance or not enabled yet."""

    address: str
    port: int
    serving: bool


@dataclass(frozen=True)
class Observed:
    """What one worker does: its identity, process id, servers by (backend, name), its map, the names of the
    certificates that it serves, and the `mark` of what it was brought in step with (paas.router.switch)."""

    identity: Identity
    pid: int
    servers: dict[tuple[str, str], Running] = field(default_factory=dict)
    entries: dict[str, str] = field(default_factory=dict)
    certificates: frozenset[str] = frozenset()
    mark: str = ""


def identify(ask: Callable[[str], str]) -> tuple[Identity, int]:
    """What a worker says it runs, and its process id."""
    info = "\n" + ask("show info")
    return Identity.parse(_after(info, DESCRIPTION)), int(_after(info, PROCESS) or 0)


def observe(ask: Callable[[str], str]) -> Observed:
    """Read a worker's state through `ask` (four commands). One that is not ours comes back empty."""
    known, pid = identify(ask)
    if not known.stock:
        return Observed(known, pid)
    entries = read_map(ask(f"show map {MAP_FILE}"))
    mark = entries.pop(MARK, "")
    return Observed(
        known,
        pid,
        read_servers(ask("show servers state")),
        entries,
        read_certificates(ask(f"show ssl crt-list {CERTIFICATE_LIST}")),
        mark,
    )


def read_servers(text: str) -> dict[tuple[str, str], Running]:
    """Parse `show servers state`; backends that are no slots are left out."""
    servers = {}
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) >= COLUMNS and words[BACKEND].startswith("slot"):
            running = Running(words[ADDRESS], int(words[PORT]), words[ADMIN_STATE] == "0")
            servers[words[BACKEND], words[NAME]] = running
    return servers


def read_map(text: str) -> dict[str, str]:
    """Parse `show map` (reference, key, value a line)."""
    return {key: value for _, key, value in (line.split(" ") for line in text.splitlines() if line)}


def read_certificates(text: str) -> frozenset[str]:
    """Parse `show ssl crt-list`: a file and its names a line."""
    files = (line.split(" ")[0] for line in text.splitlines())
    return frozenset(
        file.removeprefix(f"{CERTIFICATES}/").removesuffix(".pem")
        for file in files
        if file.startswith(CERTIFICATES)
    )


def slot_of(backend: str) -> int:
    """The slot that ``slotN`` and ``slotN.PORT`` belong to."""
    return int(backend.removeprefix("slot").partition(".")[0])


def difference(routes: Routes, observed: Observed) -> list[str]:
    """The runtime commands from what is to what should be, in an order in which no request is lost.

    An address that now belongs to somebody else goes first, so that no request reaches the wrong app. Then new servers
    and certificates, then the domains that may lead to them, and only then what is no longer wanted: servers are
    drained, not deleted.
    """
    stock = observed.identity.stock
    wanted = {key: server for key, server in routes.servers.items() if slot_of(key[0]) <= stock}
    lead = [*_serve(routes, observed), *_lead(routes, observed), *_withdraw(routes, observed)]
    return exchange(wanted, observed.servers, lead)


def exchange(
    wanted: Mapping[tuple[str, str], Server],
    found: Mapping[tuple[str, str], Running],
    between: Iterable[str] = (),
) -> list[str]:
    """The commands from some backends' servers to others, in the order that `difference` says; `between` go before
    the old servers do."""
    unwanted = [key for key, running in found.items() if running.serving and key not in wanted]
    if not unwanted:
        return [*_bring(wanted, found), *between]
    taken = {(server.address, server.port) for server in wanted.values()}
    stale = {key for key in unwanted if _endpoint(found[key]) in taken}
    return [
        *(_state(key, "drain") for key in unwanted if key in stale),
        *_bring(wanted, found),
        *between,
        *(_state(key, "drain") for key in unwanted if key not in stale),
    ]


def _bring(wanted: Mapping[tuple[str, str], Server], found: Mapping[tuple[str, str], Running]) -> list[str]:
    moved, new = [], []
    for key, server in wanted.items():
        running = found.get(key)
        name = "/".join(key)
        if running is None:
            new.append(f"add server {name} {server.endpoint}{SERVER_OPTIONS}")
        elif _endpoint(running) != (server.address, server.port):
            moved.append(f"set server {name} addr {server.address} port {server.port}")
        if running is None or not running.serving:
            new.append(_state(key, "ready"))
    return moved + new


def _lead(routes: Routes, observed: Observed) -> list[str]:
    commands = []
    for key, value in routes.entries.items():
        known = observed.entries.get(key)
        if known is None:
            commands.append(f"add map {MAP_FILE} {key} {value}")
        elif known != value:
            commands.append(f"set map {MAP_FILE} {key} {value}")
    commands += [f"del map {MAP_FILE} {key}" for key in observed.entries if key not in routes.entries]
    return commands


def _serve(routes: Routes, observed: Observed) -> list[str]:
    commands = []
    for name, certificate in sorted(routes.certificates.items()):
        if name in observed.certificates:
            continue
        file = certificate_file(name)
        # An empty line ends what is sent along.
        pem = "\n".join(line for line in certificate.load().splitlines() if line.strip())
        commands += [
            f"new ssl cert {file}",
            f"set ssl cert {file} <<\n{pem}\n",
            f"commit ssl cert {file}",
            f"add ssl crt-list {CERTIFICATE_LIST} <<\n{certificate_line(certificate)}\n",
        ]
    return commands


def _withdraw(routes: Routes, observed: Observed) -> list[str]:
    commands = []
    for name in sorted(observed.certificates - routes.certificates.keys()):
        file = certificate_file(name)
        commands += [f"del ssl crt-list {CERTIFICATE_LIST} {file}", f"del ssl cert {file}"]
    return commands


def _state(key: tuple[str, str], state: str) -> str:
    return f"set server {'/'.join(key)} state {state}"


def _endpoint(running: Running) -> tuple[str, int]:
    return running.address, running.port


def _after(text: str, start: str) -> str:
    _, found, rest = text.partition(start)
    return rest.partition("\n")[0].strip() if found else ""
