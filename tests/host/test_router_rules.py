"""What the router answers by itself, in a real HAProxy: an app's own error page, maintenance, redirects, passwords."""

from __future__ import annotations

import base64
import contextlib
import subprocess
import time
from dataclasses import replace

import pytest
from test_router_support import Proxy, Start, proxies, request, route, upstreams

from paas.router import Routes, Server
from paas.router.routes import PAGE_BYTES, Port, Redirect, User

proxy = pytest.fixture(proxies, name="proxy")
upstream = pytest.fixture(upstreams, name="upstream")

PAGE = "<h1>Zurück um zwölf, „soon“</h1>" + "x" * (PAGE_BYTES - 40)
DEAD = Server("dead", "127.0.0.1", 1)


def bcrypt(password: str) -> str:
    """A hash as `htpasswd -B` makes it, by the crypt of this machine."""
    script = f"import crypt; print(crypt.crypt({password!r}, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))"
    return subprocess.run(
        ["/usr/bin/python3", "-W", "ignore", "-c", script], check=True, capture_output=True, text=True
    ).stdout.strip()


def get(proxy: Proxy, host: str, path: str = "/", **headers: str) -> tuple[int, dict[str, str], str]:
    with contextlib.closing(proxy.connect()) as connection:
        connection.request("GET", path, headers={"Host": host, **headers})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode()


def login(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.mark.parametrize("servers", [(), (DEAD,)], ids=["stopped", "crashed"])
def test_an_apps_own_page_when_no_process_answers(proxy: Proxy, servers: tuple[Server, ...]) -> None:
    base = replace(route(1, "a.test"), servers=servers)
    proxy.apply(base, route(2, "b.test"))
    status, headers, body = get(proxy, "a.test")
    assert (status, headers["cache-control"], headers["retry-after"]) == (503, "no-store", "5")
    assert "Not available right now" in body
    change = proxy.apply(replace(base, page=PAGE), route(2, "b.test"))
    assert not change.reloaded
    status, headers, body = get(proxy, "a.test")
    assert (status, body, headers["content-type"]) == (503, PAGE, "text/html; charset=utf-8")
    assert "Not available right now" in get(proxy, "b.test")[2], "other apps keep the router's own"
    proxy.kill()
    proxy.start()
    assert get(proxy, "a.test")[2] == PAGE


def test_a_page_arrives_as_it_was_but_for_its_lines(proxy: Proxy) -> None:
    page = '<p class="a">1 | 2 # \\ %41 \'</p>\r\n<style>p { color: red }</style>\n\t<b>&amp;</b>\x7f'
    proxy.apply(replace(route(1, "a.test"), page=page))
    assert get(proxy, "a.test")[2] == '<p class="a">1 | 2 # \\ %41 \'</p> <style>p { color: red }</style> <b>&amp;</b> '
    proxy.apply(route(1, "a.test"))
    assert "%0A" not in get(proxy, "a.test")[2]


def test_a_page_that_is_too_large_is_no_route() -> None:
    with pytest.raises(ValueError, match="larger than"):
        replace(route(1, "a.test"), page=PAGE + "x" * 100)


def test_maintenance_answers_at_once_whatever_runs(proxy: Proxy, upstream: Start) -> None:
    port = proxy.tls_port + 1
    base = replace(route(1, "a.test", upstream("a")), ports=(Port(port, "http", ("a.test",), ()),))
    proxy.apply(base)
    change = proxy.apply(replace(base, maintenance=True, page="<h1>Soon</h1>"))
    assert not change.reloaded
    assert get(proxy, "a.test")[::2] == (503, "<h1>Soon</h1>")
    proxy.apply(base)
    with contextlib.closing(proxy.connect()) as connection:
        assert request(connection, "a.test") == (200, "a")


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_domain_leads_elsewhere(proxy: Proxy, upstream: Start, code: int) -> None:
    base = route(1, "www.test", upstream("a"))
    redirects = (Redirect("old.test", "https://www.test", code), Redirect("*.old.test", "//www.test", code))
    assert not proxy.apply(replace(base, redirects=redirects)).reloaded
    status, headers, _ = get(proxy, "old.test", "/a/b?c=d%20e")
    assert (status, headers["location"]) == (code, "https://www.test/a/b?c=d%20e")
    assert get(proxy, "x.old.test")[1]["location"] == "//www.test/"
    proxy.apply(base)
    assert get(proxy, "old.test")[0] == 404


def test_only_its_users_enter_a_protected_app(proxy: Proxy, upstream: Start) -> None:
    users = (User("ann", bcrypt("p:w d")), User("bob", bcrypt("other")))
    base = route(1, "a.test", upstream("a"))
    proxy.apply(base, route(2, "b.test", upstream("b")))
    assert proxy.apply(replace(base, users=users), route(2, "b.test", upstream("b"))).reloaded
    status, headers, _ = get(proxy, "a.test")
    assert (status, headers["www-authenticate"]) == (401, 'Basic realm="Restricted"')
    for wrong in (login("ann", "pw"), login("ann", "other"), login("eve", "p:w d"), {"Authorization": "Bearer x"}):
        assert get(proxy, "a.test", **wrong)[0] == 401
    assert get(proxy, "a.test", **login("ann", "p:w d"))[0] == 200
    started = time.monotonic()
    for _ in range(20):
        assert get(proxy, "a.test", **login("ann", "p:w d"))[0] == 200
    again = time.monotonic() - started
    assert get(proxy, "a.test", **login("bob", "other"))[0] == 200
    assert get(proxy, "b.test")[0] == 200
    print(f"\n20 requests with a password that is known: {again * 1000:.0f} ms")
    # Bob is gone: what was right once is not any more.
    proxy.apply(replace(base, users=users[:1]), route(2, "b.test", upstream("b")))
    assert get(proxy, "a.test", **login("bob", "other"))[0] == 401
    assert get(proxy, "a.test", **login("ann", "p:w d"))[0] == 200
    assert (proxy.settings.router_dir / "verified.map").read_text() == ""


def test_who_is_wrong_too_often_waits(proxy: Proxy, upstream: Start) -> None:
    proxy.apply(replace(route(1, "a.test", upstream("a")), users=(User("ann", bcrypt("right")),)))
    assert get(proxy, "a.test", **login("ann", "right"))[0] == 200
    statuses = [get(proxy, "a.test", **login("ann", f"wrong{number}"))[0] for number in range(30)]
    assert statuses[0] == 401 and statuses[-1] == 429
    assert get(proxy, "a.test", **login("ann", "right"))[0] == 200, "who was right before is not kept out"


def test_nothing_else_can_be_written_into_the_file() -> None:
    for bad in (
        lambda: Redirect("a.test", "https://x/\nbackend evil"),
        lambda: Redirect("a.test", "javascript:alert(1)"),
        lambda: Redirect("a.test", "//x", 200),
        lambda: User("a b", bcrypt("x")),
        lambda: User("a", "$2b$04$plain"),
    ):
        with pytest.raises(ValueError, match=r"is no|not a user"):
            bad()
    assert Routes().entries == {}
