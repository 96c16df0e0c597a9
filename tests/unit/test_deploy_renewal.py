"""What an authority's refusals come to: a server that speaks as much ACME as it takes to say no."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from paas.deploy.routing import acme
from paas.deploy.routing.authority import LONGEST_WAIT_SECONDS, retry_after
from paas.deploy.routing.renewal import Held, NoCertificate, NotAutomatic, renew
from paas.deploy.session import Session
from paas.errors import PaasError
from paas.model.certificate import self_signed
from paas.model.names import AppName
from paas.store.apps import App
from paas.store.certificates import AUTO
from paas.store.properties import GLOBAL

DOMAIN = "a.example.com"


class Refusing(ThreadingHTTPServer):
    """Refuses what is asked of `path` (status, headers, body); counts the requests for each path."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        made, _ = self_signed("localhost", {})
        self.ca = folder / "ca.pem"
        self.ca.write_text(made.chain)
        (folder / "both.pem").write_text(made.bundle)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "both.pem")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"https://localhost:{self.server_port}"
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[str] = []

    def refuse(self, path: str, code: int, retry: str, kind: str, detail: str) -> None:
        problem = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail}
        headers = {"Content-Type": "application/problem+json", "Retry-After": retry}
        self.answers[path] = code, headers, json.dumps(problem).encode()

    def handle_error(self, *_: object) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    server: Refusing

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)
        url = self.server.url
        names = {"newNonce": f"{url}/nonce", "newAccount": f"{url}/account", "newOrder": f"{url}/order"}
        usual = {"/dir": (200, names), "/nonce": (200, {}), "/account": (201, {"status": "valid"})}
        code, headers, body = self.server.answers.get(self.path) or (
            usual[self.path][0],
            {"Content-Type": "application/json", "Location": f"{url}/account/1"},
            json.dumps(usual[self.path][1]).encode(),
        )
        self.send_response(code)
        self.send_header("Replay-Nonce", "bm9uY2U")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def authority(session: Session, tmp_path: Path) -> Iterator[Refusing]:
    with Refusing(tmp_path) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        for key, value in ((acme.DIRECTORY, f"{server.url}/dir"), (acme.CA, str(server.ca))):
            session.properties.set(GLOBAL, acme.NAMESPACE, key, value)
        yield server
        server.shutdown()


@pytest.fixture
def app(session: Session) -> App:
    app = session.apps.create(AppName("web"))
    session.domains.clear(app.id)
    session.domains.add(app.id, DOMAIN)
    acme.make_account_key(session)
    session.properties.set(app.id, acme.NAMESPACE, AUTO, "on")
    return app


def test_an_authority_that_limits_a_domain_is_left_alone_as_long_as_it_asks(
    session: Session, authority: Refusing, app: App
) -> None:
    authority.refuse("/order", 429, "90000", "rateLimited", "too many certificates")
    before = time.time()
    with pytest.raises(NoCertificate, match=r"^No certificate for a\.example\.com\."):
        renew(session, app)
    attempt = session.attempts.all(app)[app.id, DOMAIN]
    assert attempt.reason == "The authority refused: too many certificates"
    assert before + 90000 <= attempt.next_at == attempt.wait_until <= time.time() + 90000
    asked = list(authority.asked)
    # Neither by hand, nor by force.
    for options in ({}, {"everything": True}):
        with pytest.raises(Held, match=r"does not want to be asked for a\.example\.com before .* GMT"):
            renew(session, app, **options)
    assert renew(session, app, only_due=True) == 0
    assert authority.asked == asked
    # Another domain of the app is none of that.
    session.domains.add(app.id, "b.example.com")
    with pytest.raises(NoCertificate, match=r"for b\.example\.com\."):
        renew(session, app, only_due=True)
    assert [item.words for item in session.operations.recent(app)] == ["b.example.com", DOMAIN]
    acme.settings_changed(session)
    assert [item.due_at for item in acme.wanted(session, app)[app]] == [0, 0]


def test_an_authority_that_is_busy_is_left_alone_by_all(session: Session, authority: Refusing, app: App) -> None:
    authority.refuse("/account", 503, formatdate(time.time() + 7200, usegmt=True), "serverInternal", "busy")
    with pytest.raises(NoCertificate):
        renew(session, app)
    other = session.apps.create(AppName("other"))
    session.domains.add(other.id, "c.example.com")
    session.properties.set(other.id, acme.NAMESPACE, AUTO, "on")
    asked = list(authority.asked)
    with pytest.raises(Held):
        renew(session, other)
    assert authority.asked == asked and "/order" not in asked
    (waiting,) = (item for item in acme.wanted(session, other)[other] if item.obstacle is None)
    assert time.time() + 7100 < waiting.due_at <= time.time() + 7200


def test_stale_nonces_are_no_failure(session: Session, authority: Refusing, app: App) -> None:
    authority.refuse("/order", 400, "", "badNonce", "stale")
    with pytest.raises(NoCertificate):
        renew(session, app)
    assert authority.asked.count("/order") == 5


def test_an_interrupted_run_is_tried_again_soon_and_then_ever_less_often(session: Session, app: App) -> None:
    session.attempts.begin(app, [DOMAIN], 1000)
    first = session.attempts.all(app)[app.id, DOMAIN]
    session.attempts.begin(app, [DOMAIN], 2000)
    second = session.attempts.all(app)[app.id, DOMAIN]
    assert (first.next_at, second.next_at) == (1060, 2120)
    failed = session.attempts.failed(app, DOMAIN, "no", 3000)
    assert failed is not None and (failed.failures, failed.unfinished, failed.next_at) == (1, 0, 6600)
    session.attempts.succeeded(app, DOMAIN, 9000)
    done = session.attempts.all(app)[app.id, DOMAIN]
    assert (done.failures, done.reason, done.next_at) == (0, "", 9000)


def test_what_is_not_the_apps_any_more_is_forgotten(session: Session, authority: Refusing, app: App) -> None:
    made, _ = self_signed(DOMAIN, {})
    session.certificates.set(app, made, DOMAIN)
    session.attempts.begin(app, [DOMAIN], time.time())
    session.attempts.succeeded(app, DOMAIN, time.time() + 1000)
    assert [item.acme is not None for item in session.routes().routes] == [True]
    assert renew(session, app) == 0
    session.domains.set_enabled(app.id, False)
    assert renew(session, app) == 0
    assert session.certificates.has(app, DOMAIN), "disabled domains are the app's still"
    session.domains.remove(app.id, DOMAIN)
    assert renew(session, app) == 0
    assert (session.certificates.all(app), session.attempts.all(app)) == ([], {})
    session.properties.set(app.id, acme.NAMESPACE, AUTO, "")
    assert [item.acme for item in session.routes().routes] == [None]
    with pytest.raises(NotAutomatic):
        renew(session, app)


def test_the_account_is_made_once_and_encrypted(session: Session, app: App) -> None:
    stored = session.properties.all(GLOBAL, acme.NAMESPACE)
    acme.make_account_key(session)
    assert session.properties.all(GLOBAL, acme.NAMESPACE) == stored
    assert "PRIVATE" not in json.dumps(stored)
    assert session.properties.secret(GLOBAL, acme.NAMESPACE, acme.KEY).startswith("-----BEGIN PRIVATE KEY-----")
    assert issubclass(Held, PaasError)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", 1120.0),
        ("", 0.0),
        ("soon", 0.0),
        ("Thu, 01 Jan 1970 01:00:00 GMT", 3600.0),
        ("9" * 400, 0.0),
        ("99999999", 1000.0 + LONGEST_WAIT_SECONDS),
    ],
)
def test_retry_after(text: str, expected: float) -> None:
    assert retry_after(text, 1000.0) == expected
