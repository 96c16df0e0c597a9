"""HAProxy's configuration as a pure function of what should be: what a restart of HAProxy loads.

`render` and `render_map` are all of it. The *shape* is the part that no runtime command can change; HAProxy carries its
fingerprint and the number of slots in its description, so that anyone can ask whether it runs what we would write.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from paas.router.routes import Routes
from paas.settings import Listen, Settings

CONFIG_FILE = "haproxy.cfg"
MAP_FILE = "domains.map"
PAGES = ("404.html", "503.html")

# HAProxy changes into the router directory before it reads anything: relative names keep its sockets below the 108
# bytes that a socket path may have, wherever the root is.
CONTROL_SOCKET = "haproxy.sock"
MASTER_SOCKET = "haproxy-master.sock"

SLOT_STEP = 64  # backends: the stock is a multiple of this
SLOT_SPARE = 32  # backends that are free at least when the file is written
WILDCARD_DEPTH = 8  # labels that `*` may stand for

THREADS = 2
FILE_DESCRIPTORS = 40_000  # at most, less where the limit is lower; two a connection
OLD_WORKER_SECONDS = 4 * 3600  # what a websocket may outlive a reload
CONNECT_SECONDS = 3  # to a process on the same machine; longer only when its address is gone
QUEUE_SECONDS = 30
HEADERS_SECONDS = 30  # from a request's first byte to the end of its headers
IDLE_SECONDS = 60  # between two pieces of a request or of a response
KEEP_ALIVE_SECONDS = 60  # between two requests of one client connection
TUNNEL_SECONDS = 3600  # silence on a websocket
CLOSING_SECONDS = 30  # for the other half of a half-closed connection
HSTS_SECONDS = 31536000  # a year, as Aptible's endpoints say with FORCE_SSL
RETRIES = 3
RETRY_AFTER_SECONDS = 5  # told to clients with the 503 page

# In the file and when a server is added while it runs.
SERVER_OPTIONS = ""

# Said by the router or by nobody. With underscores too: CGI-style frameworks can't tell them from dashes.
UNTRUSTED_HEADERS = "^(x[-_]forwarded[-_].*|forwarded|x[-_]real[-_]ip|x[-_]request[-_]start|proxy|x[-_]aptible[-_]health[-_]check)$"
IDEMPOTENT_METHODS = "GET HEAD OPTIONS TRACE PUT DELETE"


@dataclass(frozen=True)
class Machine:
    """What the file depends on beside the settings: IPv6 at hand, the user that workers become (None: stay)."""

    dual_stack: bool = False
    user: str | None = None


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
    wanted = routes.highest_slot + SLOT_SPARE
    return -(-wanted // SLOT_STEP) * SLOT_STEP


def identity(settings: Settings, stock: int, machine: Machine | None = None) -> Identity:
    """What HAProxy will say of itself once it has loaded the file with this stock."""
    text = _head(settings, machine or Machine()) + "".join(page(name) for name in PAGES)
    return Identity(hashlib.sha256(text.encode()).hexdigest()[:12], stock)


def render(settings: Settings, routes: Routes, stock: int, machine: Machine | None = None) -> str:
    """The whole configuration file. `stock` is raised to the highest slot in use."""
    stock = max(stock, routes.highest_slot)
    head = _head(settings, machine or Machine())
    head = head.replace("@identity@", str(identity(settings, stock, machine)), 1)
    servers = {route.slot: route.servers for route in routes.routes}
    lines = [head]
    for slot in range(1, stock + 1):
        lines.append(f"backend slot{slot} from slots\n")
        for server in sorted(servers.get(slot, ()), key=lambda server: server.name):
            lines.append(f"    server {server.name} {server.endpoint}{SERVER_OPTIONS}\n")
    return "".join(lines)


def render_map(routes: Routes) -> str:
    """The file of domains and of apps' options: one `domain slotN` or `slotN/option value` a line, sorted."""
    return "".join(f"{key} {value}\n" for key, value in sorted(routes.entries.items()))


@cache
def page(name: str) -> str:
    """The text of one of PAGES."""
    return (Path(__file__).parent / name).read_text()


def _head(settings: Settings, machine: Machine) -> str:
    return "\n".join([*_global(machine), *_defaults(), *_frontend(settings, machine), ""])


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
        # be sent twice. A new connection to a process of the same machine costs less than a lost request.
        "    option http-server-close",
        # After a reload the old worker takes one more request on an idle connection rather than cutting it.
        "    option idle-close-on-response",
        '    http-error status 503 content-type "text/html; charset=utf-8" file 503.html'
        f" hdr Cache-Control no-store hdr Retry-After {RETRY_AFTER_SECONDS}",
        "",
        "defaults slots from web",
        "    http-request set-timeout server var(txn.idle) if { var(txn.idle) -m found }",
        "",
    ]


def _frontend(settings: Settings, machine: Machine) -> list[str]:
    found = "{ var(txn.slot) -m found }"
    wildcards = []
    for _ in range(WILDCARD_DEPTH):
        wildcards += [
            f"    http-request set-var(txn.rest) var(txn.rest),field(2,.,0) unless {found}",
            f"    http-request set-var(txn.slot) str(*.),concat(,txn.rest),map({MAP_FILE}) unless {found}",
        ]
    relay = f"abns@paas-{settings.root_id}"
    return [
        "frontend web from web",
        f"    bind {_bind(settings.http_listen, machine)}",
        f"    bind {relay} accept-proxy",
        f"    http-request del-header '{UNTRUSTED_HEADERS}' -m reg",
        "    http-request set-header X-Forwarded-For %[src]",
        "    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]",
        "    http-request set-header X-Forwarded-Port %[dst_port]",
        "    http-request set-header X-Request-Start t=%[date(0,ms)]",
        f"    http-request disable-l7-retry unless {{ method {IDEMPOTENT_METHODS} }}",
        "    http-request set-var(txn.rest) req.hdr(host),host_only,rtrim(.),lower",
        f"    http-request set-var(txn.slot) var(txn.rest),map({MAP_FILE})",
        # One label less each time: the most specific wildcard is found first, and each look is one in a tree.
        *wildcards,
        f"    http-request set-var(txn.idle) var(txn.slot),concat(/idle),map({MAP_FILE}) if {found}",
        f"    http-request set-var(txn.ssl) var(txn.slot),concat(/ssl),map({MAP_FILE}) if {found}",
        "    http-request redirect scheme https code 301 if { var(txn.ssl) -m found } !{ ssl_fc } !{ stopping }",
        f"    http-response set-header Strict-Transport-Security max-age={HSTS_SECONDS}"
        " if { var(txn.ssl) -m found } { ssl_fc }",
        # What an old worker knows can't be changed any more: it hands requests to the one that knows better. The
        # socket is abstract because workers may not enter the root.
        "    use_backend relay if { stopping }",
        f"    use_backend %[var(txn.slot)] if {found}",
        "    default_backend unknown",
        "",
        "backend unknown from web",
        '    http-request return status 404 content-type "text/html; charset=utf-8" file 404.html',
        "",
        "backend relay from web",
        f"    server current {relay} send-proxy-v2",
        "",
    ]


def _bind(listen: Listen, machine: Machine) -> str:
    if listen.host:
        return str(listen)
    return f":::{listen.port} v4v6" if machine.dual_stack else f"*:{listen.port}"
