"""Credentials for registries: when they count, for whom, and where they can't be seen."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.in_process import engine_image

from paas.console import Console
from paas.deploy import source
from paas.deploy.session import Session
from paas.deploy.sources.registry import Credentials, CredentialsIncomplete, registries_of
from paas.engine.images import Image
from paas.engine.pull import pull_failure
from paas.model.image import ImageRef
from paas.model.names import AppName

NAMES = {
    "host": "APTIBLE_PRIVATE_REGISTRY_HOST",
    "username": "APTIBLE_PRIVATE_REGISTRY_USERNAME",
    "password": "APTIBLE_PRIVATE_REGISTRY_PASSWORD",
    "email": "APTIBLE_PRIVATE_REGISTRY_EMAIL",
}
PASSWORD = "s3cret: with\"quotes' and ünicode"


def config(**values: str) -> dict[str, str]:
    return {NAMES[name]: value for name, value in values.items()}


def test_without_any_there_are_none() -> None:
    assert Credentials.of({}) is None
    assert Credentials.of(config(username="", password="")) is None
    assert Credentials.of(config(host="quay.io", email="a@b.c")) is None


def test_one_without_the_other_is_refused() -> None:
    with pytest.raises(CredentialsIncomplete, match="username is set without its password"):
        Credentials.of(config(username="u", password=""))
    with pytest.raises(CredentialsIncomplete, match="password is set without its username") as raised:
        Credentials.of(config(password=PASSWORD))
    assert PASSWORD not in str(raised.value)


def test_neither_repr_nor_str_tells_the_password() -> None:
    found = Credentials.of(config(username="u", password=PASSWORD))
    assert PASSWORD not in f"{found!r} {found}"
    assert "'u'" in repr(found)


def test_a_pull_takes_username_and_password() -> None:
    found = Credentials("u", PASSWORD)
    assert found.for_pull() == {"username": "u", "password": PASSWORD}


def test_logins_of_a_build_by_registry() -> None:
    token = {"auth": base64.b64encode(f"u:{PASSWORD}".encode()).decode()}
    found = Credentials("u", PASSWORD)
    assert found.auths(["quay.io", "docker.io"]) == {"quay.io": token, "https://index.docker.io/v1/": token}
    assert found.auths([]) == {}
    # A host that is set is the only one that is told the password.
    assert Credentials("u", PASSWORD, "quay.io").auths(["evil.example.com"]) == {"quay.io": token}


def test_registries_of_a_dockerfile() -> None:
    text = b"""# FROM not.me/x
from a.example.com/base:1 AS build
FROM --platform=linux/amd64 b.example.com:5000/x@sha256:%b
  FROM nginx
FROM scratch
FROM ${BASE}
FROM Not//valid
""" % (b"0" * 64)
    assert registries_of(text) == ["a.example.com", "b.example.com:5000", "docker.io"]
    assert registries_of(b"") == []


@pytest.mark.parametrize("piece", [b"\n", b" ", b"FROM ", b"FROM\t--platform=", b"FROM a\n"])
def test_a_dockerfile_of_a_megabyte_is_read_at_once(piece: bytes) -> None:
    assert len(registries_of(piece * ((1 << 20) // len(piece)))) <= 1


@given(st.binary())
def test_any_dockerfile_can_be_read(text: bytes) -> None:
    assert isinstance(registries_of(text), list)


class Engine:
    """Images that are here, and what was asked of a registry."""

    def __init__(self, here: Image | None) -> None:
        self.here = here
        self.asked: list[dict[str, str] | None] = []

    def resolve(self, ref: ImageRef) -> Image | None:
        return self.here

    def pull(self, ref: ImageRef, console: Console, auth: dict[str, str] | None = None) -> Image:
        self.asked.append(auth)
        return engine_image(id="sha256:" + "b" * 64)


def pull(session: Session, here: Image | None, name: str, values: dict[str, str]) -> list[Any]:
    engine = Engine(here)
    session.__dict__["images"] = engine
    app = session.apps.find("web1") or session.apps.create(AppName("web1"))
    source.pull_image(session, app, ImageRef.parse(name), values)
    return engine.asked


USER = config(username="u", password="p")
WITH = [{"username": "u", "password": "p"}]


def test_credentials_go_with_every_pull_public_or_not(session: Session) -> None:
    for name in ("nginx", "quay.io/o/public", "localhost:5000/x@sha256:" + "0" * 64):
        assert pull(session, None, name, USER) == WITH
        assert pull(session, engine_image(), name, USER) == WITH
    assert pull(session, None, "nginx", {}) == [None]
    assert pull(session, None, "nginx", config(username="", password="")) == [None]


def test_what_is_only_here_is_not_asked_for(session: Session) -> None:
    local = engine_image()
    pushed = engine_image(digests=("quay.io/o/app@sha256:" + "0" * 64,))
    assert pull(session, local, "app:1", {}) == []
    # Its twin in a registry says nothing about the name that it was built under.
    assert pull(session, pushed, "app:1", {}) == []
    assert pull(session, pushed, "quay.io/o/app:1", {}) == [None]
    assert pull(session, pushed, "sha256:" + "0" * 64, USER) == []


def test_an_image_that_changed_is_told(session: Session) -> None:
    pull(session, engine_image(digests=("nginx@sha256:" + "0" * 64,)), "nginx", {})
    said = session.console.out.getvalue()  # type: ignore[attr-defined]
    assert said == (
        "-----> Pulling nginx:latest\n       nginx:latest is another image now: aaaaaaaaaaaa -> bbbbbbbbbbbb\n"
    )


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            "pull access denied for x, repository does not exist or may require 'docker login'",
            "wants credentials",
        ),
        ("unauthorized: authentication required", "wants credentials"),
        ("denied: access forbidden", "wants credentials"),
        ("no basic auth credentials", "wants credentials"),
        ("toomanyrequests: You have reached your pull rate limit", "rate limit"),
        ("manifest unknown: manifest unknown", "has no image quay.io/o/x:1"),
        ("x509: certificate signed by unknown authority", "not trusted here"),
        ("no matching manifest for linux/arm64/v8", "this machine's architecture"),
        ("server gave HTTP response to HTTPS client", "does not speak TLS"),
        ("dial tcp: lookup quay.io: no such host", "can't be reached"),
        ("net/http: TLS handshake timeout", "can't be reached"),
        ("unexpected EOF", "broke off in the middle"),
        ("write: connection reset by peer", "broke off in the middle"),
        ("something else entirely.", "something else entirely. Nothing was changed"),
    ],
)
def test_what_the_engine_says_becomes_a_sentence(message: str, told: str) -> None:
    text = str(pull_failure(ImageRef.parse("quay.io/o/x:1"), message))
    assert text.startswith("Failed to pull image: quay.io/o/x:1. ")
    assert told in text
    assert ". Nothing was changed. " in text


@pytest.mark.parametrize(
    "message", ["unauthorized: x", "denied", "unauthorized: incorrect username or password"]
)
def test_a_refusal_names_the_user_who_was_refused(message: str) -> None:
    text = str(pull_failure(ImageRef.parse("quay.io/o/x:1"), message, "ci"))
    assert "The registry quay.io refused the user ci: wrong or expired credentials, or no right to it" in text
