"""Streams over a connection that the engine keeps: nothing of what it sends is lost."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from paas.engine.hijacked import hijacked, split_frames
from paas.engine.library import Client

HEAD = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


def frame(data: bytes, stream: int = 1) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


@contextlib.contextmanager
def engine(path: Path, *sent: bytes) -> Iterator[Client]:
    """A client of an engine that answers its one request with these pieces, each sent at once."""

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            read = b""
            while b"\r\n\r\n" not in read:
                read += connection.recv(4096)
            for piece in sent:
                connection.sendall(piece)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=answer)
        thread.start()
        client = Client(f"unix://{path}")
        with contextlib.closing(client):
            yield client
        thread.join()


@pytest.mark.parametrize(
    "sent",
    [
        (HEAD + frame(b"both\n") + frame(b"streams\n", 2),),
        (HEAD, frame(b"both\n") + frame(b"streams\n", 2)),
        (HEAD + frame(b"both\n")[:3], frame(b"both\n")[3:] + frame(b"streams\n", 2)),
    ],
    ids=["with the head", "after the head", "cut"],
)
def test_what_comes_with_the_head_is_output(tmp_path: Path, sent: tuple[bytes, ...]) -> None:
    with engine(tmp_path / "docker.sock", *sent) as client, hijacked(client.exec_start("1", socket=True)) as stream:
        assert b"".join(stream.output()) == b"both\nstreams\n"


def test_an_end_without_output(tmp_path: Path) -> None:
    with engine(tmp_path / "docker.sock", HEAD) as client, hijacked(client.exec_start("1", socket=True)) as stream:
        assert list(stream.output()) == []


def test_frames_are_split_where_they_end() -> None:
    data = frame(b"one") + frame(b"", 2) + frame(b"three", 2)
    for cut in range(len(data) + 1):
        frames, rest = split_frames(data[:cut])
        more, left = split_frames(rest + data[cut:])
        assert (frames + more, left) == ([(1, b"one"), (2, b""), (2, b"three")], b"")
