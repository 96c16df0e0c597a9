"""Whoever tries key after key waits; everybody else comes in."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from paas.gateway.forking import ForkingServer
from paas.gateway.ssh_failures import FailedLogins


@pytest.fixture(autouse=True)
def one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paas.gateway.ssh_failures.time.time", lambda: 6000.0)


def test_failed_logins_of_one_address_are_counted(capfd: pytest.CaptureFixture[str]) -> None:
    failures = FailedLogins(3)
    for _ in range(3):
        assert failures.admit("192.0.2.1")
        failures.failed("192.0.2.1")
    assert not failures.admit("192.0.2.1")
    assert failures.admit("192.0.2.2")
    failures.failed("192.0.2.1")
    assert capfd.readouterr().err.count("192.0.2.1 waits for the next minute: 3 logins failed") == 1


def test_a_minute_later_all_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = FailedLogins(1)
    failures.failed("192.0.2.1")
    assert not failures.admit("192.0.2.1")
    monkeypatch.setattr("paas.gateway.ssh_failures.time.time", lambda: 6060.0)
    assert failures.admit("192.0.2.1")


def test_an_ipv6_network_is_one_address_and_a_mapped_one_is_ipv4() -> None:
    failures = FailedLogins(1)
    failures.failed("2001:db8::1")
    assert not failures.admit("2001:db8::2") and failures.admit("2001:db8:0:1::1")
    failures.failed("::ffff:192.0.2.1")
    assert not failures.admit("192.0.2.1")


def test_who_waits_is_hung_up_on_and_costs_no_process() -> None:
    failures = FailedLogins(1)
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()

    def greet(connection: socket.socket, *_: object) -> None:
        failures.failed(connection.getpeername()[0])
        connection.sendall(b"hello")

    def admit(client: socket.socket) -> bool:
        return failures.admit(client.getpeername()[0])

    server = ForkingServer(listener, greet, greet, 10, admit=admit)
    pid = os.fork()
    if pid == 0:
        server.run(lambda: None)
        os._exit(0)
    listener.close()
    try:
        answers = []
        for _ in range(3):
            with socket.create_connection(address, timeout=20) as client:
                answers.append(client.recv(5))
        assert answers == [b"hello", b"", b""]
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
