"""registry:set and :report, and where an app's images would be pushed to."""

from __future__ import annotations

import json

import pytest
from support.in_process import Commands

from paas.deploy.session import Session
from paas.deploy.sources import registry
from paas.deploy.sources.registry import build_auths, pull_credentials, push_credentials
from paas.model.image import ImageRef, InvalidServer, registry_server
from paas.model.names import AppName
from paas.store.apps import App
from paas.store.logins import Logins
from paas.store.properties import GLOBAL


@pytest.mark.parametrize(
    ("given", "server"),
    [
        ("quay.io", "quay.io"),
        ("https://quay.io/v2/", "quay.io"),
        ("Registry.Example.com:5000", "registry.example.com:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("docker.io", "docker.io"),
        ("hub.docker.com", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
    ],
)
def test_servers(given: str, server: str) -> None:
    assert registry_server(given) == server


@pytest.mark.parametrize("given", ["", "a b", "--x", "https://", "a;b", "x\n", "ü.de", "a" * 300])
def test_no_servers(given: str) -> None:
    with pytest.raises(InvalidServer):
        registry_server(given)


@pytest.fixture
def app(session: Session) -> App:
    return session.apps.create(AppName("web1"))


def test_whose_login_counts(session: Session, app: App) -> None:
    logins = Logins(session.properties)
    logins.set(GLOBAL, "quay.io", "everybody", "p1")
    ref = ImageRef.parse("quay.io/o/x:1")
    found = pull_credentials(session, app, {}, ref)
    assert found is not None and found.for_pull() == {"username": "everybody", "password": "p1"}
    logins.set(app.id, "quay.io", "own", "p2")
    found = pull_credentials(session, app, {}, ref)
    assert found is not None and found.username == "own"
    config = {registry.USERNAME_KEY: "aptible", registry.PASSWORD_KEY: "p3"}
    found = pull_credentials(session, app, config, ref)
    assert found is not None and found.username == "aptible"
    # One for another host is not told to this one.
    elsewhere = config | {registry.HOST_KEY: "other.example.com"}
    found = pull_credentials(session, app, elsewhere, ref)
    assert found is not None and found.username == "own"
    assert pull_credentials(session, app, {}, ImageRef.parse("nginx")) is None
    found = push_credentials(session, app, config, "quay.io")
    assert found is not None and found.username == "own"
    assert push_credentials(session, app, config, "docker.io") is None
    found = push_credentials(session, app, elsewhere, "other.example.com")
    assert found is not None and found.username == "aptible"
    assert set(build_auths(session, app, elsewhere, b"FROM nginx")) == {"quay.io", "other.example.com"}
    assert logins.remove(app.id, "quay.io") and not logins.remove(app.id, "quay.io")
    found = pull_credentials(session, app, {}, ref)
    assert found is not None and found.username == "everybody"


def test_a_stored_login_is_unreadable(session: Session, app: App) -> None:
    Logins(session.properties).set(app.id, "quay.io", "unmistakable-user", "unmistakable-password")
    [stored] = session.properties.all(app.id, "registry-login").values()
    assert "unmistakable" not in stored


def test_defaults_of_the_report(paas_command: Commands) -> None:
    paas_command("apps:create", "web1")
    said = paas_command("registry:report", "web1")
    assert said.out.startswith(
        "=====> web1 registry information\n       Registry computed image repo:          dokku/web1\n"
    )
    assert "       Registry computed push on release:     false\n" in said.out
    assert len(said.out.splitlines()) == 16


def test_set_and_report(paas_command: Commands) -> None:
    paas_command("apps:create", "web1")
    for words in (
        ("--global", "server", "https://ghcr.io/team/"),
        ("--global", "image-repo-template", "apps/{{.AppName}}-image"),
        ("web1", "push-extra-tags", "latest, stable"),
    ):
        assert paas_command("registry:set", *words).code == 0
    flags = json.loads(paas_command("registry:report", "web1", "--format", "json").out)
    assert flags["computed-server"] == "ghcr.io/team/" and flags["server"] == ""
    assert flags["computed-image-repo"] == "apps/web1-image" and flags["push-extra-tags"] == "latest,stable"
    assert paas_command("registry:report", "--global", "--registry-computed-server").out == "ghcr.io/team/\n"
    paas_command("registry:set", "web1", "image-repo", "me/web")
    paas_command("registry:set", "web1", "server", "docker.io")
    flags = json.loads(paas_command("registry:report", "web1", "--format", "json").out)
    assert (flags["computed-image-repo"], flags["computed-server"]) == ("me/web", "")


@pytest.mark.parametrize(
    "words",
    [
        ("server", "a b"),
        ("server", "quay.io/UPPER"),
        ("image-repo", "me/web:1"),
        ("image-repo", "--x"),
        ("image-repo-template", "{{ .Other }}"),
        ("push-extra-tags", "a,,b"),
        ("push-extra-tags", "-x"),
        ("push-on-release", "yes"),
        ("nope", "x"),
    ],
)
def test_what_can_not_be_set(paas_command: Commands, words: tuple[str, str]) -> None:
    paas_command("apps:create", "web1")
    said = paas_command("registry:set", "web1", "--", *words)
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
