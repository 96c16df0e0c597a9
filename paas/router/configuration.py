"""HAProxy's configuration as a pure function of what should be: what a restart of HAProxy loads.

`render` and `render_map` are all of it. The *shape* is the part that no runtime command can change; HAProxy carries its
fingerprint and the number of slots in its description, so that anyone can ask whether it runs what we would write.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from paas.router.routes import Certificate, Routes, Server
from paas.router.rules import (
    CERTIFICATES,
    PAGES,
    Machine,
    http_port,
    own_page,
    page,
    protect,
    tcp_port,
    users,
    web,
)
from paas.settings import Settings

CONFIG_FILE = "haproxy.cfg"

# HAProxy changes into the router directory before it reads anything: relative names keep its sockets below the 108
# bytes that a socket path may have, wherever the root is.
CONTROL_SOCKET = "haproxy.sock"
MASTER_SOCKET = "haproxy-master.sock"

# Mozilla's intermediate profile; TLS 1.3's own ciphers are all fine.
TLS_OPTIONS = "ssl-min-ver TLSv1.2 no-tls-tickets"
TLS_CIPHERS = ":".join(
    f"{kind}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for kind in ("ECDHE-ECDSA", "ECDHE-RSA")
)

REQUESTS_RING = "requests"
RING_BYTES = 2 * 1024 * 1024  # ten thousand requests, more or less
REQUEST_BYTES = 1024  # of one request's line in it; the rest of a long URL is cut
# Read by paas.router.requests.
REQUEST_FORMAT = '"%Ts.%ms %ci %b %s %ST %B %TR/%Tw/%Tc/%Tr/%Ta %tsc %{+Q}[capture.req.hdr(0)] %{+Q}r"'

SLOT_STEP = 64  # backends: the stock is a multiple of this
SLOT_SPARE = 32  # backends that are free at least when the file is written

THREADS = 2
FILE_DESCRIPTORS = 40_000  # at most, less where the limit is lower; two a connection
OLD_WORKER_SECONDS = 4 * 3600  # what a websocket may outlive a reload
CONNECT_SECONDS = 1  # to a process on the same machine; longer only in the moment after its end, and then another is asked
QUEUE_SECONDS = 30
HEADERS_SECONDS = 30  # from a request's first byte to the end of its headers
IDLE_SECONDS = 60  # between two pieces of a request or of a response
KEEP_ALIVE_SECONDS = 60  # between two requests of one client connection
TUNNEL_SECONDS = 3600  # silence on a websocket
CLOSING_SECONDS = 30  # for the other half of a half-closed connection
RETRIES = 3

# In the file and when a server is added while it runs.
SERVER_OPTIONS = ""
SERVER_LINE = "    server "


@dataclass(frozen=True)
class Identity:
    """What HAProxy says it runs: the `shape`'s fingerprint and how many slots there are."""

    shape: str
    stock: int

    def __str__(self) -> str:
        return f"paas/{self.shape}/{self.stock}"

    @classmethod
    def parse(cls, text: str) -> Identity:
        """Read a description; one that is not ours gives an identity that equals none of ours."""
        parts = text.split("/")
        if len(parts) == 3 and parts[0] == "paas" and parts[2].isdigit():
            return cls(parts[1], int(parts[2]))
        return cls("", 0)


def stock_for(routes: Routes) -> int:
    """How many backends to have ready for these routes."""
    return stock(routes.highest_slot)


def stock(highest_slot: int) -> int:
    """The same, by the highest slot in use."""
    wanted = highest_slot + SLOT_SPARE
    return -(-wanted // SLOT_STEP) * SLOT_STEP


def identity(
    settings: Settings, stock: int, machine: Machine | None = None, routes: Routes | None = None
) -> Identity:
    """What HAProxy will say of itself once it has loaded the file with this stock, and the ports and users of these
    routes."""
    text = _head(settings, machine or Machine(), routes or Routes()) + "".join(page(name) for name in PAGES)
    return Identity(hashlib.sha256(text.encode()).hexdigest()[:12], stock)


def render(settings: Settings, routes: Routes, stock: int, machine: Machine | None = None) -> str:
    """The whole configuration file. `stock` is raised to the highest slot in use."""
    stock = max(stock, routes.highest_slot)
    head = _head(settings, machine or Machine(), routes)
    head = head.replace("@identity@", str(identity(settings, stock, machine, routes)), 1)
    servers: dict[str, list[Server]] = {}
    for (backend, _), server in sorted(routes.servers.items()):
        servers.setdefault(backend, []).append(server)
    protected = {route.slot for route in routes.routes if route.users}
    lines = [head]
    for slot in range(1, stock + 1):
        lines += _backend(f"slot{slot}", "slots", servers, slot if slot in protected else None)
    for listener in routes.listeners:
        if listener.mode == "tcp":
            lines += _backend(listener.backend, "tcp", servers)
        else:
            slot = listener.slot
            lines += _backend(listener.backend, "slots", servers, slot if slot in protected else None)
    return "".join(lines)


def _backend(
    name: str, defaults: str, servers: dict[str, list[Server]], protected: int | None = None
) -> list[str]:
    lines = [f"backend {name} from {defaults}\n"]
    if protected is not None:
        lines += [f"{line}\n" for line in protect(protected)]
    return lines + [_server(server) for server in servers.get(name, ())]


def _server(server: Server) -> str:
    return f"{SERVER_LINE}{server.name} {server.endpoint}{SERVER_OPTIONS}\n"


def with_servers(text: str, backend: str, servers: Iterable[Server]) -> str | None:
    """A rendered file with other servers in one backend, as `render` would have it; None without that backend."""
    start = text.find(f"\nbackend {backend} from ") + 1
    if not start:
        return None
    end = text.find("\nbackend ", start) + 1 or len(text)
    kept = [line for line in text[start:end].splitlines(keepends=True) if not line.startswith(SERVER_LINE)]
    new = [_server(server) for server in sorted(servers, key=lambda server: server.name)]
    return "".join([text[:start], *kept, *new, text[end:]])


def render_map(routes: Routes) -> str:
    """The file of domains and of apps' options, sorted: `domain slotN`, `domain:PORT slotN.PORT` or
    `slotN/option value` a line."""
    return "".join(f"{key} {value}\n" for key, value in sorted(routes.entries.items()))


def certificate_file(name: str) -> str:
    """Where a certificate's PEM is."""
    return f"{CERTIFICATES}/{name}.pem"


def certificate_line(certificate: Certificate) -> str:
    """Its line in the list: for which names clients get it. None of them may be empty: that would be any name."""
    return f"{certificate_file(certificate.name)} {' '.join(certificate.domains)}"


def render_certificates(routes: Routes) -> str:
    """The list of certificates, sorted."""
    return "".join(f"{certificate_line(item)}\n" for _, item in sorted(routes.certificates.items()))


def _head(settings: Settings, machine: Machine, routes: Routes) -> str:
    listeners = routes.listeners
    lines = [*_global(machine), *users(routes), *_defaults(), *web(settings, machine)]
    for number, mode in sorted({(item.number, item.mode) for item in listeners if item.mode != "tcp"}):
        lines += http_port(settings, machine, number, mode == "https")
    for item in listeners:
        if item.mode == "tcp":
            lines += tcp_port(settings, machine, item)
    # The names of the apps' own backends are part of the shape: no runtime command adds one.
    lines += [f"# {item.backend}" for item in listeners if item.mode != "tcp"]
    return "\n".join([*lines, ""])


def _global(machine: Machine) -> list[str]:
    user = [f"    user {machine.user}", f"    group {machine.user}"] if machine.user else []
    return [
        "# Written by paas from its database, and again after every change. Edits are lost.",
        "global",
        "    description @identity@",
        f"    stats socket unix@../run/{CONTROL_SOCKET} mode 600 level admin expose-fd listeners",
        *user,
        f"    nbthread {THREADS}",
        f"    fd-hard-limit {FILE_DESCRIPTORS}",
        f"    hard-stop-after {OLD_WORKER_SECONDS}s",
        f"    ssl-default-bind-options {TLS_OPTIONS}",
        f"    ssl-default-bind-ciphers {TLS_CIPHERS}",
        "",
        # In memory: nothing is written, nobody has to be there to read it, and the newest push out the oldest.
        f"ring {REQUESTS_RING}",
        "    format raw",
        f"    maxlen {REQUEST_BYTES}",
        f"    size {RING_BYTES}",
        "",
    ]


def _defaults() -> list[str]:
    return [
        "defaults web",
        "    mode http",
        f"    timeout connect {CONNECT_SECONDS}s",
        f"    timeout queue {QUEUE_SECONDS}s",
        f"    timeout http-request {HEADERS_SECONDS}s",
        f"    timeout http-keep-alive {KEEP_ALIVE_SECONDS}s",
        f"    timeout client {IDLE_SECONDS}s",
        f"    timeout server {IDLE_SECONDS}s",
        f"    timeout tunnel {TUNNEL_SECONDS}s",
        f"    timeout client-fin {CLOSING_SECONDS}s",
        f"    timeout server-fin {CLOSING_SECONDS}s",
        "    balance leastconn",
        f"    retries {RETRIES}",
        "    option redispatch 1",
        "    retry-on conn-failure empty-response",
        # A process that closes an idle connection just as a POST is sent on it would cost that POST, which must not
        # be sent twice: with kept connections, and POSTs as far apart as the process keeps one, 54 of 18000 were lost,
        # with new ones none. What it costs are 60 microseconds a request: 10000/s instead of 26000/s with an app that
        # does nothing (tests/bench/keep_alive.py). Giving idle ones up after 100 ms lost none either, but hangs on how
        # long apps keep theirs; and over a kept connection an app that misreads where a request ends mixes up clients.
        "    option http-server-close",
        # After a reload the old worker takes one more request on an idle connection rather than cutting it.
        "    option idle-close-on-response",
        f"    log ring@{REQUESTS_RING} format raw local0",
        f"    log-format {REQUEST_FORMAT}",
        "    option dontlognull",
        "",
        "defaults slots from web",
        *(f"    http-error status {status} {own_page()}" for status in (502, 503, 504)),
        "    http-request set-timeout server var(txn.idle) if { var(txn.idle) -m found }",
        "",
        "defaults tcp",
        "    mode tcp",
        f"    timeout connect {CONNECT_SECONDS}s",
        f"    timeout queue {QUEUE_SECONDS}s",
        f"    timeout client {TUNNEL_SECONDS}s",
        f"    timeout server {TUNNEL_SECONDS}s",
        f"    timeout client-fin {CLOSING_SECONDS}s",
        f"    timeout server-fin {CLOSING_SECONDS}s",
        "    balance leastconn",
        f"    retries {RETRIES}",
        "    option redispatch 1",
        "",
    ]
