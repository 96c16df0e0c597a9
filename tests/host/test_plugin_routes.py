"""maintenance, http-auth and redirect with real requests: at once, without a reload but for users, and nothing in clear."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from support.archives import tar_of
from support.doors import Door
from support.server import Paas

from paas.router.difference import observe
from paas.router.runtime import Runtime

pytestmark = pytest.mark.usefixtures("image_names")

PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="module")
def shop(paas: Paas, image_names: dict[str, str]) -> Iterator[str]:
    """An app that serves."""
    paas.command("apps:create", "shop").ok()
    paas.command("git:from-image", "shop", image_names["web"]).ok()
    yield "shop"


def worker(paas: Paas) -> int:
    """The process id of HAProxy's worker: another one after a reload."""
    with Runtime(paas.root / "run" / "haproxy.sock") as runtime:
        return observe(runtime.ask).pid


def login(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_maintenance_is_switched_without_a_reload(paas: Paas, host: Door, shop: str) -> None:
    before = worker(paas)
    host.ssh("maintenance:enable", shop).ok()
    answer = paas.http_get(shop)
    assert answer.status == 503 and "Under maintenance" in answer.body
    archive = tar_of({"./maintenance.html": "<h1>Own</h1>", "logo.png": "x"})
    stored = host.ssh("maintenance:custom-page", shop, input=archive)
    assert stored.code == 0 and "logo.png is left out" in stored.err
    assert paas.http_get(shop).body == "<h1>Own</h1>"
    # A deploy does not end it, and a clone does not begin with it.
    host.ssh("ps:restart", shop).ok()
    assert paas.http_get(shop).status == 503
    host.ssh("apps:clone", shop, "copy").ok()
    assert paas.http_get("copy").status == 200
    host.ssh("maintenance:disable", shop).ok()
    assert paas.http_get(shop).status == 200
    assert worker(paas) == before
    paas.command("apps:destroy", "copy", "--force").ok()


def test_passwords_cost_one_reload_and_are_never_in_clear(paas: Paas, host: Door, shop: str) -> None:
    before = worker(paas)
    host.ssh("http-auth:add-user", shop, "ann", input=PASSWORD).ok()
    assert worker(paas) == before and paas.http_get(shop).status == 200, "nobody is asked yet"
    host.ssh("http-auth:on", shop).ok()
    once = worker(paas)
    assert once != before
    assert paas.http_get(shop).status == 401
    assert paas.http_get(shop, headers=login("ann", PASSWORD)).status == 200
    assert paas.http_get(shop, headers=login("ann", "x")).status == 401
    host.ssh("ps:restart", shop).ok()
    assert worker(paas) == once and paas.http_get(shop).status == 401
    argument = host.ssh("http-auth:add-user", shop, "bob", PASSWORD)
    assert argument.code == 0 and PASSWORD not in argument.out + argument.err
    assert paas.http_get(shop, headers=login("bob", PASSWORD)).status == 200
    assert host.ssh("http-auth:list", shop).ok() == "ann\nbob\n"
    host.ssh("http-auth:remove-user", shop, "ann").ok()
    assert paas.http_get(shop, headers=login("ann", PASSWORD)).status == 401
    for words in (["http-auth:report", shop], ["operations"], ["events"], ["report", shop]):
        assert PASSWORD not in host.ssh(*words).out
    for path in paas.root.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
    host.ssh("http-auth:off", shop).ok()
    assert paas.http_get(shop).status == 200


def test_redirects_need_no_reload(paas: Paas, host: Door, shop: str) -> None:
    before = worker(paas)
    host.ssh("redirect:set", shop, "old.test", "shop.localhost", "308").ok()
    host.ssh("redirect:set", shop, "*.old.test", "https://shop.localhost:8443").ok()
    answer = paas.http_get("old.test", "/a?b=c")
    assert (answer.status, answer.headers["location"]) == (308, "//shop.localhost/a?b=c")
    answer = paas.http_get("x.old.test")
    assert (answer.status, answer.headers["location"]) == (301, "https://shop.localhost:8443/")
    host.ssh("redirect:unset", shop, "old.test").ok()
    assert paas.http_get("old.test").status == 404
    assert worker(paas) == before
    host.ssh("redirect:unset", shop, "*.old.test").ok()
