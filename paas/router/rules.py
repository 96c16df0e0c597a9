"""What HAProxy does with a request, line by line: the frontends' and backends' rules.

Everything that depends on one app is looked up in the map, which changes while HAProxy runs; only ports and users are
written down here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from paas.router.routes import (
    ANY_HOST,
    HSTS,
    MAINTENANCE,
    REDIRECT,
    REDIRECT_CODES,
    Listener,
    Routes,
    encoded_page,
)
from paas.settings import Listen, Settings

MAP_FILE = "domains.map"
VERIFIED_FILE = "verified.map"  # always empty on disk
FAILURES = "failures"
FAILURES_SECONDS = 60
MAX_FAILURES = 20  # wrong passwords of one address in that time
PROTECTED_REALM = "Restricted"
CERTIFICATES = "certificates"  # the directory of the files below
CERTIFICATE_LIST = f"{CERTIFICATES}/list.txt"
PAGES = ("404.html", "503.html")
ACME_PATH = "/.well-known/acme-challenge/"
HOST_BYTES = 128
WILDCARD_DEPTH = 8  # labels that `*` may stand for
HTTPS_PORT = 443
HSTS_SECONDS = 31536000  # a year, as Aptible's endpoints say with FORCE_SSL
RETRY_AFTER_SECONDS = 5  # told to clients with the 503 page

# Said by the router or by nobody. With underscores too: CGI-style frameworks can't tell them from dashes.
UNTRUSTED_HEADERS = "^(x[-_]forwarded[-_].*|forwarded|x[-_]real[-_]ip|x[-_]request[-_]start|proxy|x[-_]aptible[-_]health[-_]check)$"
FOUND = "{ var(txn.slot) -m found }"
IDEMPOTENT_METHODS = "GET HEAD OPTIONS TRACE PUT DELETE"


@dataclass(frozen=True)
class Machine:
    """What the file depends on beside the settings: IPv6 at hand, the user that workers become (None: stay)."""

    dual_stack: bool = False
    user: str | None = None


@cache
def page(name: str) -> str:
    """The text of one of PAGES."""
    return (Path(__file__).parent / name).read_text()


def _tls() -> str:
    # Names without a certificate get no answer at all rather than another app's certificate.
    return f"ssl crt-list {CERTIFICATE_LIST} strict-sni alpn h2,http/1.1"


def web(settings: Settings, machine: Machine) -> list[str]:
    """The frontend of the router's own ports."""
    relay = f"abns@paas-{settings.root_id}"
    # Not ssl_fc: a request that an old worker hands over has lost its TLS, but not its port.
    tls = f"{{ dst_port {settings.https_listen.port} }}"
    return [
        "frontend web from web",
        f"    bind {_bind(settings.http_listen, machine)}",
        f"    bind {_bind(settings.https_listen, machine)} {_tls()}",
        f"    bind {relay} accept-proxy",
        *_request(),
        f"    http-request set-header X-Forwarded-Proto https if {tls}",
        f"    http-request set-var(txn.acme) var(txn.slot),concat(/acme),map({MAP_FILE})"
        f" if {FOUND} {{ path_beg {ACME_PATH} }} {{ path_reg ^{ACME_PATH}[A-Za-z0-9_-]+$ }}",
        '    http-request return status 200 content-type text/plain lf-string "%[path,field(-1,/)].%[var(txn.acme)]"'
        " if { var(txn.acme) -m found }",
        f"    http-request redirect {_to_https(settings)} code 301"
        f" if {{ var(txn.flags) -m sub {REDIRECT} }} !{tls} !{{ stopping }}",
        f"    http-after-response set-header Strict-Transport-Security max-age={HSTS_SECONDS}"
        f" if {{ var(txn.flags) -m sub {HSTS} }} {tls}",
        _maintenance(),
        *_hand_over("relay"),
        "backend unknown from web",
        '    http-request return status 404 content-type "text/html; charset=utf-8" file 404.html',
        "",
        *_relay("relay", relay),
    ]


def http_port(settings: Settings, machine: Machine, number: int, tls: bool) -> list[str]:
    """The frontend of an http port that apps share by their domains."""
    relay = f"abns@paas-{settings.root_id}-{number}"
    listen = Listen(settings.http_listen.host, number)
    return [
        f"frontend http{number} from web",
        f"    bind {_bind(listen, machine)}{f' {_tls()}' if tls else ''}",
        f"    bind {relay} accept-proxy",
        *_request(number),
        *(["    http-request set-header X-Forwarded-Proto https"] if tls else []),
        _maintenance(),
        *_hand_over(f"relay{number}"),
        *_relay(f"relay{number}", relay),
    ]


def tcp_port(settings: Settings, machine: Machine, listener: Listener) -> list[str]:
    """The frontend of a tcp port, which is one app's."""
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
        # A domain that leads elsewhere has no backend.
        *(
            f"    http-request redirect location %[var(txn.slot),field(2,|)]%[capture.req.uri] code {code}"
            f" if {FOUND} {{ var(txn.slot) -m beg ={code}| }} !{{ stopping }}"
            for code in REDIRECT_CODES
        ),
        f"    http-request set-var(txn.flags) var(txn.slot),field(2,:) if {FOUND}",
        f"    http-request set-var(txn.slot) var(txn.slot),field(1,:) if {FOUND}",
        f"    http-request set-var(txn.idle) var(txn.slot),concat(/idle),map({MAP_FILE}) if {FOUND}",
    ]


def _maintenance() -> str:
    return (
        f"    http-request return status 503 {own_page()} if {FOUND}"
        f" {{ var(txn.flags) -m sub {MAINTENANCE} }} !{{ stopping }}"
    )


def own_page() -> str:
    """The page of an app, or ours; taken from the map when an error is answered, so it costs no other request anything."""
    ours = encoded_page(page("503.html"))
    return (
        'content-type "text/html; charset=utf-8"'
        f' lf-string "%[var(txn.slot),concat(/page),map({MAP_FILE},{ours}),b64dec]"'
        f" hdr Cache-Control no-store hdr Retry-After {RETRY_AFTER_SECONDS}"
    )


def protect(slot: int) -> list[str]:
    """Rules of a backend that only its users may enter.

    Checking a password against bcrypt is slow on purpose and stops all else meanwhile: what was right once is known
    from then on, in memory only, and who is wrong too often waits.
    """
    known = "{ var(txn.known) -m found }"
    tried = "{ req.hdr(authorization) -m found }"
    return [
        "    http-request set-var(txn.given) req.hdr(authorization)",
        f"    http-request set-var(txn.login) str({slot}:),concat(,txn.given),sha2(256),hex",
        f"    http-request set-var(txn.known) var(txn.login),map({VERIFIED_FILE})",
        f"    http-request track-sc0 src table {FAILURES} if {tried} !{known}",
        f"    http-request deny deny_status 429 if {tried} !{known} {{ sc0_gpc0_rate gt {MAX_FAILURES} }}",
        f"    http-request set-var(txn.known) str(1) if !{known} {{ http_auth(users{slot}) }}",
        f"    http-request set-map({VERIFIED_FILE}) %[var(txn.login)] 1 if {known}",
        f"    http-request sc-inc-gpc0(0) if {tried} !{known}",
        f"    http-request auth realm {PROTECTED_REALM} if !{known}",
    ]


def users(routes: Routes) -> list[str]:
    """The lists of who may enter protected apps."""
    lines = []
    for route in sorted(routes.routes, key=lambda item: item.slot):
        if route.users:
            lines.append(f"userlist users{route.slot}")
            lines += [
                f"    user {user.name} password {user.password}" for user in sorted(route.users, key=str)
            ]
            lines.append("")
    if lines:
        table = f"    stick-table type ipv6 size 20k expire {FAILURES_SECONDS}s store gpc0_rate({FAILURES_SECONDS}s)"
        lines += [f"backend {FAILURES}", table, ""]
    return lines


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
