"""certs:auto, certs:renew, certs:set of ACME's settings and what certs:report says of them, without an authority."""

from __future__ import annotations

import json

import pytest
from support.in_process import Commands

from paas.deploy.session import Session
from paas.router import binary
from paas.store.apps import Apps


@pytest.fixture(autouse=True)
def web(paas_command: Commands) -> None:
    paas_command("apps:create", "web1")


def test_on_and_off(paas_command: Commands, apps: Apps, session: Session) -> None:
    paas_command("domains:set", "web1", "a.example.com", "*.example.com")
    said = paas_command("certs:auto", "web1", "on")
    assert (said.code, said.out) == (
        0,
        "-----> Automatic certificates of web1 are on, from https://acme-v02.api.letsencrypt.org/directory\n"
        "       a.example.com: is asked for now\n"
        "       *.example.com: skipped, a wildcard can't be verified by HTTP; bring a certificate with certs:add\n",
    )
    assert said.err == (
        " !     No agent runs: nothing is asked for until paas serve does, or certs:renew web1\n"
    )
    assert paas_command("certs:auto", "web1", "on").out == "-----> Automatic certificates of web1 are on already\n"
    report = paas_command("certs:report", "web1").out
    assert "       Ssl auto:                      true\n" in report
    assert "       Status a.example.com:          waiting for its first try\n" in report
    found = json.loads(paas_command("certs:report", "web1", "--format", "json").out)
    assert (found["auto"], found["enabled"]) == ("true", "false")
    assert found["status-*.example.com"].startswith("skipped: ")
    assert paas_command("certs:report", "web1", "--status-a.example.com").out == "waiting for its first try\n"
    app = apps.get("web1")
    session.attempts.begin(app, ["a.example.com"], 0)
    session.attempts.failed(app, "a.example.com", "the reason", 0)
    assert paas_command("certs:report", "web1", "--status-a.example.com").out == (
        "failed: the reason; next try Jan  1 01:00:00 1970 GMT\n"
    )
    session.attempts.succeeded(app, "a.example.com", 86400)
    assert paas_command("certs:auto", "web1", "off").out.startswith(
        "-----> Automatic certificates of web1 are off, and not served any more\n"
    )
    assert "Status" not in paas_command("certs:report", "web1").out
    assert paas_command("certs:report", "web1", "--ssl-auto").out == "false\n"
    assert session.attempts.all(app) == {}


def test_what_is_refused(paas_command: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    assert paas_command("certs:auto", "web1").err == " !     specify either 'on' or 'off'\n"
    assert paas_command("certs:auto", "missing", "on").code == 20
    said = paas_command("certs:renew", "web1")
    assert (said.code, said.err) == (
        1,
        " !     App web1 has no automatic certificates. Nothing was done. Turn them on with certs:auto web1 on\n",
    )
    monkeypatch.setattr(binary, "missing", lambda: "HAProxy is not installed")
    said = paas_command("certs:auto", "web1", "on")
    assert (said.code, said.err) == (
        1,
        " !     Automatic certificates need the router: HAProxy is not installed. Nothing was changed\n",
    )
    assert paas_command("certs:report", "web1", "--ssl-auto").out == "false\n"


def test_an_app_without_domains(paas_command: Commands) -> None:
    paas_command("domains:clear", "web1")
    assert "       web1 has no domain yet: see domains:add\n" in paas_command("certs:auto", "web1", "on").out


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("acme-email", "ops"),
        ("acme-email", "a@b"),
        ("acme-email", "a b@example.com"),
        ("acme-email", "a@example.com,b@example.com"),
        ("acme-directory", "http://ca.example.com/dir"),
        ("acme-directory", "https://"),
        ("acme-directory", "https://user:secret@ca.example.com/dir"),
        ("acme-directory", "https://[::1/dir"),
        ("acme-directory", "https://ca.example.com:99999/dir"),
        ("acme-directory", "file:///etc/passwd"),
        ("acme-ca", "ca.pem"),
        ("acme-ca", "/x\x1b[31m"),
    ],
)
def test_settings_that_are_none(paas_command: Commands, key: str, value: str) -> None:
    said = paas_command("certs:set", "--global", key, value)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f" !     Invalid value for {key}: ") and "\x1b" not in said.err


def test_settings(paas_command: Commands) -> None:
    for key, value in (
        ("acme-email", "ops+paas@example.com"),
        ("acme-directory", "https://ca.example.com:9000/acme/directory"),
        ("acme-ca", "/etc/ssl/company.pem"),
    ):
        assert paas_command("certs:set", "--global", key, value).out == f"=====> Setting {key} to {value}\n"
        assert paas_command("certs:report", "--global", f"--ssl-global-{key}").out == f"{value}\n"
        assert paas_command("certs:set", "web1", key, value).err == (
            " !     Property can only be specified globally\n"
        )
    assert paas_command("certs:set", "--global", "acme-directory").code == 0
    assert paas_command("certs:report", "--global", "--ssl-computed-acme-directory").out == (
        "https://acme-v02.api.letsencrypt.org/directory\n"
    )
