"""TLS in a real HAProxy: certificates come and go while it runs, each for its own names, and http is sent there."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import stat

import pytest
from test_router_support import Proxy, Start, proxies, request, route, upstreams

from paas.model.certificate import self_signed
from paas.router.routes import Certificate, Route, Routes

proxy = pytest.fixture(proxies, name="proxy")
upstream = pytest.fixture(upstreams, name="upstream")


def certificate(name: str, *domains: str) -> Certificate:
    made, _ = self_signed(domains[0], {})
    return Certificate(name, domains, lambda: made.bundle)


def https(proxy: Proxy, host: str) -> http.client.HTTPSConnection:
    """A connection that asks for `host` and takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", proxy.tls_port, timeout=10, context=context)
    plain = socket.create_connection(("127.0.0.1", proxy.tls_port), timeout=10)
    try:
        connection.sock = context.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise
    return connection


def served(proxy: Proxy, host: str) -> bytes:
    """The certificate that clients of a name get; raises ssl.SSLError where there is none."""
    with contextlib.closing(https(proxy, host)) as connection:
        data: bytes = connection.sock.getpeercert(True)
        return data


def answer(connection: http.client.HTTPConnection, host: str, path: str = "/") -> tuple[int, dict[str, str], str]:
    connection.request("GET", path, headers={"Host": host})
    response = connection.getresponse()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read().decode()


def secure(base: Route, *certificates: Certificate, **options: object) -> Route:
    fields = {name: getattr(base, name) for name in ("app", "app_id", "slot", "domains", "servers")}
    return Route(**fields, certificates=certificates, **options)  # type: ignore[arg-type]


def test_each_name_has_its_own_certificate(proxy: Proxy, upstream: Start) -> None:
    a, b = route(1, "a.test www.a.test", upstream("a")), route(2, "b.test", upstream("b"))
    proxy.apply(a, b)
    with pytest.raises(ssl.SSLError):
        served(proxy, "a.test")
    first = certificate("1-aaa", "a.test")
    change = proxy.apply(secure(a, first), b)
    assert change.commands and not change.reloaded
    first_der = served(proxy, "a.test")
    for other in ("b.test", "www.a.test", "nobody.test"):
        with pytest.raises(ssl.SSLError):
            served(proxy, other)
    # Another one for the same name: from now on that one is served, and nothing of the first stays.
    change = proxy.apply(secure(a, certificate("1-bbb", "a.test")), secure(b, certificate("2-ccc", "*.b.test", "b.test")))
    assert not change.reloaded
    assert served(proxy, "a.test") != first_der
    assert served(proxy, "b.test") == served(proxy, "any.b.test")
    files = sorted((proxy.settings.router_dir / "certificates").glob("*.pem"))
    assert [path.name for path in files] == ["1-bbb.pem", "2-ccc.pem"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    # What a restart of HAProxy loads is the same.
    before = served(proxy, "a.test")
    proxy.kill()
    proxy.start()
    proxy.check_in_step()
    assert served(proxy, "a.test") == before
    proxy.apply(a, b)
    with pytest.raises(ssl.SSLError):
        served(proxy, "b.test")


def test_http_is_sent_to_https_where_there_is_a_certificate(proxy: Proxy, upstream: Start) -> None:
    base = route(1, "a.test other.test *.w.test", upstream("a"))
    proxy.apply(secure(base, certificate("1-a", "a.test", "*.w.test")))
    with contextlib.closing(proxy.connect()) as plain:
        status, headers, _ = answer(plain, f"a.test:{proxy.port}", "/p?q=1")
        assert (status, headers["location"]) == (301, f"https://a.test:{proxy.tls_port}/p?q=1")
        assert answer(plain, "x.w.test")[0] == 301
        assert request(plain, "other.test") == (200, "a"), "no certificate, no redirect"
    with contextlib.closing(https(proxy, "a.test")) as connection:
        status, headers, body = answer(connection, f"a.test:{proxy.tls_port}")
        assert status == 200
        assert headers["strict-transport-security"] == "max-age=31536000"
        assert '"x-forwarded-proto": "https"' in body and f'"x-forwarded-port": "{proxy.tls_port}"' in body
    proxy.apply(secure(base, certificate("1-a", "a.test", "*.w.test"), redirect=False, hsts=False))
    with contextlib.closing(proxy.connect()) as plain:
        assert request(plain, "a.test") == (200, "a")
    with contextlib.closing(https(proxy, "a.test")) as connection:
        status, headers, _ = answer(connection, "a.test")
        assert status == 200 and "strict-transport-security" not in headers


def test_an_authoritys_question_is_answered_by_the_router(proxy: Proxy, upstream: Start) -> None:
    base = route(1, "a.test", upstream("a"))
    path = "/.well-known/acme-challenge/"
    proxy.apply(secure(base, certificate("1-a", "a.test"), acme="Thumb_print-1"))
    with contextlib.closing(proxy.connect()) as plain:
        status, headers, body = answer(plain, "a.test", f"{path}token_-9")
        assert (status, headers["content-type"], body) == (200, "text/plain", "token_-9.Thumb_print-1")
        assert answer(plain, "a.test", f"{path}%3Cscript%3E")[0] == 301
    proxy.apply(base)
    with contextlib.closing(proxy.connect()) as plain:
        assert request(plain, "a.test", f"{path}token") == (200, "a"), "the app may answer itself"


def test_a_request_that_an_old_worker_hands_over_stays_secure(proxy: Proxy, upstream: Start) -> None:
    base = secure(route(1, "a.test", upstream("a")), certificate("1-a", "a.test"))
    proxy.apply(base)
    with contextlib.closing(https(proxy, "a.test")) as connection:
        assert answer(connection, "a.test")[0] == 200
        proxy.router.reload(Routes((base,)))
        status, _, body = answer(connection, "a.test")
    assert status == 200
    assert '"x-forwarded-proto": "https"' in body
