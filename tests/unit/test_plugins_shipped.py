"""maintenance, http-auth and redirect: what they store, what they refuse, and the routes that come of it."""

from __future__ import annotations

import json

import pytest
from support.archives import tar_of
from support.in_process import Commands

from paas.deploy.session import Session
from paas.router.routes import PAGE_BYTES, Redirect, Route

Said = tuple[int, str]


@pytest.fixture
def shop(paas_command: Commands) -> str:
    paas_command("apps:create", "shop")
    paas_command("apps:create", "other")
    return "shop"


def route(session: Session, app: str) -> Route:
    return next(item for item in session.routes().routes if item.app == app)


def tar(**files: bytes) -> str:
    archive = tar_of({name.replace("__", "."): data for name, data in files.items()})
    return archive.decode("utf-8", "surrogateescape")


def test_maintenance_is_about_one_app(paas_command: Commands, session: Session, shop: str) -> None:
    assert paas_command("maintenance:on", shop).code == 0
    assert route(session, shop).maintenance and "Under maintenance" in (route(session, shop).page or "")
    assert not route(session, "other").maintenance and route(session, "other").page is None
    assert paas_command("maintenance:custom-page", shop, stdin="<b>x</b>").code == 0
    assert route(session, shop).page == "<b>x</b>"
    report = json.loads(paas_command("maintenance:report", shop, "--format", "json").out)
    assert report == {"custom-page": "true", "enabled": "true"}
    assert paas_command("maintenance:custom-page", shop, stdin=tar(maintenance__html=b"<i>y</i>")).code == 0
    assert route(session, shop).page == "<i>y</i>"
    assert paas_command("maintenance:custom-page", shop, stdin="").code == 0
    assert "Under maintenance" in (route(session, shop).page or "")
    paas_command("maintenance:off", shop)
    assert not route(session, shop).maintenance and route(session, shop).page is None
    for verb in ("on", "off", "enable", "disable", "custom-page"):
        assert paas_command(f"maintenance:{verb}", "nope").code == 20


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("x" * (PAGE_BYTES + 1), f"The page has {PAGE_BYTES + 1} bytes"),
        ("\udcff", "The page is not UTF-8"),
        ("a\0b", "The page is not text"),
        (tar(index__html=b"x"), "The archive has no maintenance.html"),
        (tar(maintenance__html=b"x" * 2000)[:600], "can't be read"),
    ],
    ids=["large", "bytes", "nul", "no page", "cut off"],
)
def test_pages_that_are_refused(
    paas_command: Commands, session: Session, shop: str, data: str, why: str
) -> None:
    said = paas_command("maintenance:custom-page", shop, stdin=data)
    assert said.code == 1 and why in said.err and said.err.rstrip().endswith("Nothing was changed")
    assert session.properties.by_app("maintenance") == {}


def test_users_of_http_auth(paas_command: Commands, session: Session, shop: str) -> None:
    assert paas_command("http-auth:on", shop).code == 1
    assert paas_command("http-auth:on", shop, "ann", "secret-one").code == 0
    assert paas_command("http-auth:add-user", shop, "bob", stdin="secret-two\n").code == 0
    users = {user.name: user.password for user in route(session, shop).users}
    assert users.keys() == {"ann", "bob"} and all(item.startswith("$2b$08$") for item in users.values())
    assert route(session, "other").users == ()
    import bcrypt

    assert bcrypt.checkpw(b"secret-two", users["bob"].encode())
    report = json.loads(paas_command("http-auth:report", shop, "--format", "json").out)
    assert report == {"enabled": "true", "users": "ann bob"}
    assert json.loads(paas_command("http-auth:list", shop, "--format", "json").out) == ["ann", "bob"]
    everything = "\n".join(str(tuple(row)) for row in session.database.rows("SELECT * FROM operations"))
    assert "http-auth:add-user" in everything and "secret" not in everything
    assert "secret" not in "\n".join(
        str(tuple(row)) for row in session.database.rows("SELECT * FROM properties")
    )
    assert paas_command("http-auth:remove-user", shop, "ann").code == 0
    assert paas_command("http-auth:remove-user", shop, "ann").code == 1
    last = paas_command("http-auth:remove-user", shop, "bob")
    assert last.code == 1 and len(route(session, shop).users) == 1, (
        "an app does not become an open one by that"
    )
    assert paas_command("http-auth:disable", shop).code == 0
    assert route(session, shop).users == ()
    assert paas_command("http-auth:enable", shop).code == 0
    assert len(route(session, shop).users) == 1


def test_a_copy_of_a_protected_app_is_protected(paas_command: Commands, session: Session, shop: str) -> None:
    paas_command("http-auth:on", shop, "ann", "secret")
    paas_command("apps:clone", shop, "copy")
    assert route(session, "copy").users == route(session, shop).users != ()


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("a b", "x"),
        ("", "x"),
        ("a\nb", "x"),
        ("x" * 65, "x"),
        ("ann", ""),
        ("ann", "x" * 73),
        ("ann", "ü" * 37),
        ("ann", "a\tb"),
    ],
)
def test_users_that_are_refused(
    paas_command: Commands, session: Session, shop: str, user: str, password: str
) -> None:
    for words in (["http-auth:add-user", shop, user, password], ["http-auth:add-user", shop, user]):
        said = paas_command(*words, stdin=f"{password}\n")
        assert said.code == 1 and "Nothing was changed" in said.err
    assert session.properties.by_app("http-auth") == {}


def test_redirects(paas_command: Commands, session: Session, shop: str) -> None:
    assert paas_command("redirect:set", shop, "Old.Test", "New.Test/").code == 0
    assert paas_command("redirect:set", shop, "*.old.test", "HTTPS://new.test:8443", "307").code == 0
    assert route(session, shop).redirects == (
        Redirect("*.old.test", "https://new.test:8443", 307),
        Redirect("old.test", "//new.test", 301),
    )
    report = json.loads(paas_command("redirect:report", shop, "--format", "json").out)
    assert report == {"list": "*.old.test:https://new.test:8443:307 old.test:new.test:301"}
    assert json.loads(paas_command("redirect", "other", "--format", "json").out) == []
    assert paas_command("redirect:set", "other", "old.test", "x.test").code == 1, "another app's"
    assert paas_command("apps:create", "old.test").code == 1, "a name whose domain leads elsewhere"
    assert paas_command("apps:rename", "other", "old.test").code == 1
    assert session.apps.find("other") and not session.apps.find("old.test")
    paas_command("apps:clone", shop, "copy")
    assert route(session, "copy").redirects == ()
    assert paas_command("redirect:unset", shop, "old.test").code == 0
    assert paas_command("redirect:unset", shop, "old.test").code == 1
    assert paas_command("apps:create", "old.test").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["a.test"],
        [],
        ["a b", "x.test"],
        ["a.test", "https://x.test/path"],
        ["a.test", "ftp://x.test"],
        ["a.test", "x.test:99999"],
        ["a.test", "x.test:"],
        ["a.test", "*.x.test"],
        ["a.test", "a.test"],
        ["a.test", "x.test", "200"],
        ["a.test", "x.test", "3x1"],
        ["a.test", "//x\n.test"],
        ["other.localhost", "x.test"],
    ],
    ids=str,
)
def test_redirects_that_are_refused(
    paas_command: Commands, session: Session, shop: str, words: list[str]
) -> None:
    said = paas_command("redirect:set", shop, *words)
    assert said.code == 1 and said.err.startswith(" !     ")
    assert session.properties.by_app("redirect") == {}


def test_a_domain_that_became_another_apps_is_that_ones(
    paas_command: Commands, session: Session, shop: str
) -> None:
    paas_command("redirect:set", shop, "old.test", "new.test")
    other = session.apps.get("other")
    session.domains.add(other.id, "old.test")  # as while the plugin was disabled
    assert route(session, shop).redirects == () and "old.test" in route(session, "other").domains
    assert paas_command("domains:add", shop, "more.test").code == 0, (
        "what was so before does not stop other changes"
    )
