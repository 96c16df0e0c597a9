"""Waiting for an engine: as long as it shows signs of life, and no longer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from paas.engine import client
from paas.engine.patient import watched
from paas.errors import EngineUnavailable

PONG = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK"
LIMIT = 0.4
FOR_EVER = 60.0


class Engine:
    """Answers pings, unless it is `silent`."""

    def __init__(self, path: Path) -> None:
        self.silent = False
        self.pings = threading.Semaphore(0)
        self.kept: list[socket.socket] = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            if self.silent:
                self.kept.append(connection)
            else:
                with connection:
                    connection.recv(4096)
                    connection.sendall(PONG)
            self.pings.release()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        for item in (self.listener, *self.kept):
            item.close()


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    path = tmp_path / "s"
    monkeypatch.setattr(client._Doubt, "address", f"unix://{path}")
    monkeypatch.setattr(client._Doubt, "raised", False)
    made = Engine(path)
    yield made
    made.close()


def test_a_wait_ends_when_the_engine_is_silent(engine: Engine) -> None:
    engine.silent = True
    with pytest.raises(EngineUnavailable, match=r"timed out"), watched(LIMIT):
        assert threading.Event().wait(FOR_EVER)


def test_a_wait_goes_on_while_the_engine_answers(engine: Engine) -> None:
    with watched(LIMIT):
        for _ in range(4):
            assert engine.pings.acquire(timeout=FOR_EVER)


def test_one_watch_inside_of_another(engine: Engine) -> None:
    with watched(FOR_EVER):
        engine.silent = True
        with pytest.raises(EngineUnavailable), watched(LIMIT):
            assert threading.Event().wait(FOR_EVER)
        # The outer one is not ended by what the inner one found out.
        assert not threading.Event().wait(LIMIT)


def test_after_a_wait_in_vain_the_engine_is_asked_for_a_sign_of_life(engine: Engine) -> None:
    client.settle_doubt()
    assert not engine.pings.acquire(blocking=False)
    with pytest.raises(EngineUnavailable), client.engine_errors():
        raise TimeoutError("timed out")
    client.settle_doubt()
    assert engine.pings.acquire(timeout=FOR_EVER)
    client.settle_doubt()
    assert not engine.pings.acquire(blocking=False)
    engine.silent = True
    assert not client.answers()
