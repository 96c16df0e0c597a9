"""HAProxy's configuration as a pure function of what should be: what a restart of HAProxy loads.

`render` and `render_map` are all of it. The *shape* is the part that no runtime command can change; HAProxy carries its
fingerprint and the number of slots in its description, so that anyone can ask whether it runs what we would write.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from paas.router.routes import ANY_HOST, HSTS, REDIRECT, Certificate, Listener, Routes, Server
from paas.settings import Listen, Settings

CONFIG_FILE = "haproxy.cfg"
MAP_FILE = "domains.map"
CERTIFICATES = "certificates"  # the directory of the files below
CERTIFICATE_LIST = f"{CERTIFICATES}/list.txt"
PAGES = ("404.html", "503.html")

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
ACME_PATH = "/.well-known/acme-challenge/"

REQUESTS_RING = "requests"
RING_BYTES = 2 * 1024 * 1024  # ten thousand requests, more or less
REQUEST_BYTES = 1024  # of one request's line in it; the rest of a long URL is cut
HOST_BYTES = 128
# Read by paas.router.requests.
REQUEST_FORMAT = (
    '"%Ts.%ms %ci %b %s %ST %B %TR/%Tw/%Tc/%Tr/%Ta %tsc %{+Q}[capture.req.hdr(0)] %{+Q}r"'
)

SLOT_STEP = 64  # backends: the stock is a multiple of this
SLOT_SPARE = 32  # backends that are free at least when the file is written
WILDCARD_DEPTH = 8  # labels that `*` may stand for

HTTPS_PORT = 443
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
FOUND = "{ var(txn.slot) -m found }"
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


def identity(
    settings: Settings, stock: int, machine: Machine | None = None, listeners: tuple[Listener, ...] = ()
) -> Identity:
    """What HAProxy will say of itself once it has loaded the file with this stock and these ports."""
    text = _head(settings, machine or Machine(), listeners) + "".join(page(name) for name in PAGES)
    return Identity(hashlib.sha256(text.encode()).hexdigest()[:12], stock)


def render(settings: Settings, routes: Routes, stock: int, machine: Machine | None = None) -> str:
    """The whole configuration file. `stock` is raised to the highest slot in use."""
    stock = max(stock, routes.highest_slot)
    head = _head(settings, machine or Machine(), routes.listeners)
    head = head.replace("@identity@", str(identity(settings, stock, machine, routes.listeners)), 1)
    servers: dict[str, list[Server]] = {}
    for (backend, _), server in sorted(routes.servers.items()):
        servers.setdefault(backend, []).append(server)
    lines = [head]
    for slot in range(1, stock + 1):
        lines += _backend(f"slot{slot}", "slots", servers)
    for listener in routes.listeners:
        lines += _backend(listener.backend, "slots" if listener.mode == "http" else "tcp", servers)
    return "".join(lines)


def _backend(name: str, defaults: str, servers: dict[str, list[Server]]) -> list[str]:
    lines = [f"backend {name} from {defaults}\n"]
    for server in servers.get(name, ()):
        lines.append(f"    server {server.name} {server.endpoint}{SERVER_OPTIONS}\n")
    return lines


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


@cache
def page(name: str) -> str:
    """The text of one of PAGES."""
    return (Path(__file__).parent / name).read_text()


def _head(settings: Settings, machine: Machine, listeners: tuple[Listener, ...]) -> str:
    lines = [*_global(machine), *_defaults(), *_web(settings, machine)]
    for number in sorted({item.number for item in listeners if item.mode == "http"}):
        lines += _http_port(settings, machine, number)
    for item in listeners:
        if item.mode == "tcp":
            lines += _tcp_port(settings, machine, item)
    # The names of the apps' own backends are part of the shape: no runtime command adds one.
    lines += [f"# {item.backend}" for item in listeners if item.mode == "http"]
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
        # be sent twice. A new connection to a process of the same machine costs less than a lost request.
        "    option http-server-close",
        # After a reload the old worker takes one more request on an idle connection rather than cutting it.
        "    option idle-close-on-response",
        f"    log ring@{REQUESTS_RING} format raw local0",
        f"    log-format {REQUEST_FORMAT}",
        "    option dontlognull",
        '    http-error status 503 content-type "text/html; charset=utf-8" file 503.html'
        f" hdr Cache-Control no-store hdr Retry-After {RETRY_AFTER_SECONDS}",
        "",
        "defaults slots from web",
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


def _web(settings: Settings, machine: Machine) -> list[str]:
    relay = f"abns@paas-{settings.root_id}"
    # Not ssl_fc: a request that an old worker hands over has lost its TLS, but not its port.
    tls = f"{{ dst_port {settings.https_listen.port} }}"
    return [
        "frontend web from web",
        f"    bind {_bind(settings.http_listen, machine)}",
        # Names without a certificate get no answer at all rather than another app's certificate.
        f"    bind {_bind(settings.https_listen, machine)} ssl crt-list {CERTIFICATE_LIST} strict-sni alpn h2,http/1.1",
        f"    bind {relay} accept-proxy",
        *_request(),
        f"    http-request set-header X-Forwarded-Proto https if {tls}",
        f"    http-request set-var(txn.acme) var(txn.slot),concat(/acme),map({MAP_FILE})"
        f" if {FOUND} {{ path_beg {ACME_PATH} }} {{ path_reg ^{ACME_PATH}[A-Za-z0-9_-]+$ }}",
        '    http-request return status 200 content-type text/plain lf-string "%[path,field(-1,/)].%[var(txn.acme)]"'
        " if { var(txn.acme) -m found }",
        f"    http-request set-var(txn.ssl) var(txn.slot),concat(/ssl),map({MAP_FILE}) if {FOUND}",
        *(
            f"    http-request redirect {_to_https(settings)} code 301 if {{ {flag} }} !{tls} !{{ stopping }}"
            for flag in ("var(txn.ssl) -m found", f"var(txn.tls) -m sub {REDIRECT}")
        ),
        *(
            f"    http-response set-header Strict-Transport-Security max-age={HSTS_SECONDS} if {{ {flag} }} {tls}"
            for flag in ("var(txn.ssl) -m found", f"var(txn.tls) -m sub {HSTS}")
        ),
        *_hand_over("relay"),
        "backend unknown from web",
        '    http-request return status 404 content-type "text/html; charset=utf-8" file 404.html',
        "",
        *_relay("relay", relay),
    ]


def _http_port(settings: Settings, machine: Machine, number: int) -> list[str]:
    relay = f"abns@paas-{settings.root_id}-{number}"
    listen = Listen(settings.http_listen.host, number)
    return [
        f"frontend http{number} from web",
        f"    bind {_bind(listen, machine)}",
        f"    bind {relay} accept-proxy",
        *_request(number),
        *_hand_over(f"relay{number}"),
        *_relay(f"relay{number}", relay),
    ]


def _tcp_port(settings: Settings, machine: Machine, listener: Listener) -> list[str]:
    return [
        f"frontend tcp{listener.number} from tcp",
        f"    bind {_bind(Listen(settings.http_listen.host, listener.number), machine)}",
        f"    default_backend {listener.backend}",
        "",
    ]


def _request(number: int | None = None) -> list[str]:
    """Headers, and the backend of the host that is asked for, on the router's own port or on another one."""
    end = f",:{number}" if number else ""
    exact = f",concat(:{number})" if number else ""
    wildcards = []
    for _ in range(WILDCARD_DEPTH):
        wildcards += [
            f"    http-request set-var(txn.rest) var(txn.rest),field(2,.,0) unless {FOUND}",
            f"    http-request set-var(txn.slot) str(*.),concat(,txn.rest{end}),map({MAP_FILE}) unless {FOUND}",
        ]
    if number:
        anyone = f"str({ANY_HOST}:{number}),map({MAP_FILE})"
        wildcards.append(f"    http-request set-var(txn.slot) {anyone} unless {FOUND}")
    return [
        f"    declare capture request len {HOST_BYTES}",
        "    http-request capture req.hdr(host) id 0",
        f"    http-request del-header '{UNTRUSTED_HEADERS}' -m reg",
        "    http-request set-header X-Forwarded-For %[src]",
        "    http-request set-header X-Forwarded-Proto http",
        "    http-request set-header X-Forwarded-Port %[dst_port]",
        "    http-request set-header X-Request-Start t=%[date(0,ms)]",
        f"    http-request disable-l7-retry unless {{ method {IDEMPOTENT_METHODS} }}",
        "    http-request set-var(txn.rest) req.hdr(host),host_only,rtrim(.),lower",
        f"    http-request set-var(txn.slot) var(txn.rest){exact},map({MAP_FILE})",
        # One label less each time: the most specific wildcard is found first, and each look is one in a tree.
        *wildcards,
        f"    http-request set-var(txn.tls) var(txn.slot),field(2,:) if {FOUND}",
        f"    http-request set-var(txn.slot) var(txn.slot),field(1,:) if {FOUND}",
        f"    http-request set-var(txn.idle) var(txn.slot),concat(/idle),map({MAP_FILE}) if {FOUND}",
    ]


def _hand_over(relay: str) -> list[str]:
    return [
        # What an old worker knows can't be changed any more: it hands requests to the one that knows better. The
        # socket is abstract because workers may not enter the root.
        f"    use_backend {relay} if {{ stopping }}",
        f"    use_backend %[var(txn.slot)] if {FOUND}",
        "    default_backend unknown",
        "",
    ]


def _relay(name: str, address: str) -> list[str]:
    return [f"backend {name} from web", f"    server current {address} send-proxy-v2", ""]


def _to_https(settings: Settings) -> str:
    port = settings.https_listen.port
    if port == HTTPS_PORT:
        return "scheme https"
    return f"location https://%[req.hdr(host),host_only]:{port}%[capture.req.uri]"


def _bind(listen: Listen, machine: Machine) -> str:
    if listen.host:
        return str(listen)
    return f":::{listen.port} v4v6" if machine.dual_stack else f"*:{listen.port}"
