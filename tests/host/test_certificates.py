"""Automatic certificates from order to browser: a real authority, router, agent and dispatcher."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import sqlite3
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clients import until
from support.pebble import Pebble, running_pebble
from support.server import Paas, running_paas
from support.state import operations
from support.whole import service
from test_router_support import Upstream

SHORT_SECONDS = 18


@pytest.fixture(scope="module")
def server() -> Iterator[Paas]:
    """An installation of its own: the authority is asked for its whole life."""
    with running_paas() as started:
        yield started


@pytest.fixture(scope="module")
def pebble(server: Paas, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    with running_pebble(tmp_path_factory.mktemp("pebble"), server.http_port) as started:
        server.command("certs:set", "--global", "acme-ca", str(started.ca)).ok()
        server.command("certs:set", "--global", "acme-email", "ops@example.com").ok()
        server.command("certs:set", "--global", "acme-directory", started.directory).ok()
        yield started


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """What the router asks in the place of the apps' processes."""
    one = Upstream("app")
    with contextlib.ExitStack() as stack:
        stack.callback(one.server_close)
        stack.callback(one.shutdown)
        yield one


@pytest.fixture
def app(server: Paas, upstream: Upstream, request: pytest.FixtureRequest) -> Iterator[str]:
    """An app that answers, with the domain NAME.test."""
    name = f"app{abs(hash(request.node.name)) % 10**8}"
    server.command("apps:create", name).ok()
    server.command("network:set", name, "static-web-listener", upstream.server.endpoint).ok()
    server.command("domains:set", name, f"{name}.test").ok()
    yield name
    server.command("--force", "apps:destroy", name).ok()


def get(server: Paas, host: str, trust: str, path: str = "/") -> tuple[http.client.HTTPResponse, dict[str, Any]]:
    """Ask as a browser that trusts only this root does; the answer, and the certificate."""
    context = ssl.create_default_context(cadata=trust)
    with (
        socket.create_connection(("127.0.0.1", server.https_port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as stream,
    ):
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(stream)
        answer.begin()
        answer.read()
        return answer, dict(stream.getpeercert() or {})


def status(server: Paas, app: str, domain: str) -> str:
    return server.command("certs:report", app, f"--status-{domain}").ok().strip()


def reaches(server: Paas, app: str, domain: str, word: str) -> str:
    """Wait until a domain's status begins with a word."""
    return until(
        lambda: (found := status(server, app, domain)).startswith(word) and found,
        lambda: (status(server, app, domain), operations(server, app), server.last_log()),
    )


def renewals(server: Paas, app: str) -> list[dict[str, Any]]:
    return [item for item in operations(server, app) if item["kind"] == "certs:renew"]


def test_from_turning_on_to_a_browser_that_is_satisfied(server: Paas, pebble: Pebble, app: str) -> None:
    domain, other = f"{app}.test", f"www.{app}.test"
    assert server.http_get(domain).status == 200
    said = server.command("certs:auto", app, "on").ok()
    assert f"{domain}: is asked for now" in said and pebble.directory in said
    assert "renewed from" in reaches(server, app, domain, "valid until")
    answer, certificate = get(server, domain, pebble.root())
    assert (answer.status, certificate["subjectAltName"]) == (200, (("DNS", domain),))
    assert answer.headers["strict-transport-security"]
    assert server.http_get(domain).status == 301
    # A domain that comes later gets its own, and nothing is asked for twice.
    server.command("domains:add", app, other, f"*.{app}.test", "node.localhost").ok()
    reaches(server, app, other, "valid until")
    assert get(server, other, pebble.root())[1]["subjectAltName"] == (("DNS", other),)
    report = json.loads(server.command("certs:report", app, "--format", "json").ok())
    assert (report["auto"], report["enabled"], report["hostnames"]) == ("true", "true", f"{domain} {other}")
    assert report[f"status-*.{app}.test"].startswith("skipped: a wildcard can't be verified by HTTP")
    assert report["status-node.localhost"] == "skipped: the name exists on this machine only"
    text = server.command("certs:report", app).ok()
    assert f"       Status {domain}: " in text and f"       Status *.{app}.test: " in text
    done = renewals(server, app)
    assert [(item["status"], item["words"], item["caller"]) for item in done] == [
        ("succeeded", other, "agent"),
        ("succeeded", domain, "agent"),
    ]
    log = server.command("operation:logs", str(done[0]["id"])).ok()
    assert f"{other}: a certificate until" in log
    # Nothing of the account or of a certificate can be read from the disk.
    stored = b"".join(path.read_bytes() for path in server.root.glob("paas.db*"))
    assert b"PRIVATE KEY" not in stored and b"BEGIN CERTIFICATE" not in stored
    assert "No certificate" in server.command("certs:renew", app).ok()
    server.command("certs:auto", app, "off").ok()
    with pytest.raises(ssl.SSLError):
        get(server, domain, pebble.root())
    assert server.http_get(domain).status == 200


def test_a_domain_that_fails_spoils_no_other_one(server: Paas, pebble: Pebble, app: str) -> None:
    good, lost, later = f"{app}.test", f"lost.{app}.test", f"later.{app}.test"
    pebble.lose(lost)
    server.command("domains:add", app, lost).ok()
    server.command("certs:auto", app, "on").ok()
    reaches(server, app, good, "valid until")
    failed = reaches(server, app, lost, "failed")
    assert failed.startswith("failed: The authority could not verify it: ") and "; next try " in failed
    assert server.http_get(lost).status == 200, "no redirect without a certificate"
    # Neither a restart nor another domain makes it be asked for again.
    server.stop(signal.SIGKILL)
    server.start()
    server.command("domains:add", app, later).ok()
    reaches(server, app, later, "valid until")
    assert [item["words"] for item in renewals(server, app)] == [later, f"{good} {lost}"]
    assert status(server, app, lost) == failed
    # By hand it is tried at once, and the pause grows.
    refused = server.command("certs:renew", app)
    assert refused.code == 1 and f"No certificate for {lost}. What was served before still is" in refused.err
    assert status(server, app, lost).startswith("failed 2 times: ")
    pebble.find(lost)
    assert f"{lost}: a certificate until" in server.command("certs:renew", app).ok()
    get(server, lost, pebble.root())


def test_an_unreachable_authority(server: Paas, pebble: Pebble, app: str) -> None:
    domain = f"{app}.test"
    pebble.stop()
    try:
        server.command("certs:auto", app, "on").ok()
        said = reaches(server, app, domain, "failed")
        assert said.startswith(f"failed: localhost:{pebble.port} can't be reached (Connection refused); next try ")
        (attempt,) = renewals(server, app)
        assert (attempt["status"], attempt["words"]) == ("failed", domain)
    finally:
        pebble.start()
    # Another way to ask it ends the pause.
    server.command("certs:set", "--global", "acme-email", "other@example.com").ok()
    reaches(server, app, domain, "valid until")


def test_own_certificates_come_first(server: Paas, pebble: Pebble, app: str) -> None:
    domain = f"{app}.test"
    server.command("certs:generate", app, domain).ok()
    server.command("certs:auto", app, "on").ok()
    assert status(server, app, domain) == "skipped: the app's own certificate is for it"
    server.command("certs:remove", app).ok()
    reaches(server, app, domain, "valid until")
    get(server, domain, pebble.root())


def test_a_killed_run_leaves_nothing_in_the_way(server: Paas, pebble: Pebble, app: str) -> None:
    domain = f"{app}.test"
    # Nobody answers, and nobody refuses: the run waits for the authority.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        server.command("certs:set", "--global", "acme-directory", f"https://localhost:{port}/dir").ok()
        server.command("certs:auto", app, "on").ok()
        (run,) = until(lambda: [item for item in renewals(server, app) if item["status"] == "running"])
        assert status(server, app, domain).startswith("asked for at ")
        os.kill(_pid(server, run["id"]), signal.SIGKILL)
    server.command("certs:set", "--global", "acme-directory", pebble.directory).ok()
    reaches(server, app, domain, "valid until")
    assert [item["status"] for item in renewals(server, app)] == ["succeeded", "failed"]
    get(server, domain, pebble.root())


def test_the_agent_is_killed_during_a_run(server: Paas, pebble: Pebble, app: str) -> None:
    server.command("certs:auto", app, "on").ok()
    until(lambda: renewals(server, app))
    agent = service(server, "agent")
    os.kill(agent, signal.SIGKILL)
    until(lambda: service(server, "agent") != agent)
    reaches(server, app, f"{app}.test", "valid until")
    get(server, f"{app}.test", pebble.root())
    # The authority was asked once.
    assert [item["status"] for item in until(lambda: renewals(server, app))] == ["succeeded"]


def test_short_lived_certificates_are_renewed_before_they_end(
    server: Paas, pebble: Pebble, app: str, tmp_path: Path
) -> None:
    domain = f"{app}.test"
    with running_pebble(tmp_path, server.http_port, valid_seconds=SHORT_SECONDS) as short:
        for key, value in (("acme-ca", short.ca), ("acme-directory", short.directory)):
            server.command("certs:set", "--global", key, str(value)).ok()
        server.command("certs:auto", app, "on").ok()
        reaches(server, app, domain, "valid until")
        seen: dict[str, str] = {}

        def another() -> bool:
            # Trusting the authority's root only, this fails as soon as an expired certificate is served.
            certificate = get(server, domain, short.root())[1]
            seen[certificate["serialNumber"]] = certificate["notAfter"]
            return len(seen) == 2

        until(another, lambda: (seen, renewals(server, app), server.last_log()))
        assert all(item["status"] == "succeeded" for item in renewals(server, app))
        server.command("certs:auto", app, "off").ok()
    for key, value in (("acme-ca", pebble.ca), ("acme-directory", pebble.directory)):
        server.command("certs:set", "--global", key, str(value)).ok()


def _pid(server: Paas, operation_id: int) -> int:
    with contextlib.closing(sqlite3.connect(server.root / "paas.db")) as database:
        pid: int = database.execute("SELECT pid FROM operations WHERE id = ?", (operation_id,)).fetchone()[0]
        return pid
