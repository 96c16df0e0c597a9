"""A connection that the engine made a stream of, for attach and exec: ours goes as it is, a process's output comes in frames,
or as it is where it has a terminal."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

READ_BYTES = 65536
FRAME_HEADER_BYTES = 8
STDERR_STREAM = 2


@dataclass(frozen=True)
class Stream:
    """`ahead` came together with the head of the engine's answer, before anything that `receive` gives."""

    socket: socket.socket
    ahead: bytes

    def receive(self) -> bytes:
        """What comes next, nothing at the end. Raises TimeoutError where the socket has a time limit."""
        try:
            return self.socket.recv(READ_BYTES)
        except ConnectionResetError:
            return b""

    def output(self) -> Iterator[bytes]:
        """What a process without a terminal prints, output and errors, until it ends."""
        rest = self.ahead
        while True:
            frames, rest = split_frames(rest)
            for _, piece in frames:
                yield piece
            data = self.receive()
            if not data:
                return
            rest += data


@contextlib.contextmanager
def hijacked(answer: Any) -> Iterator[Stream]:
    """The stream of what the client library answered for one, closed after the block; without a time limit."""
    connection: socket.socket = getattr(answer, "_sock", answer)
    with contextlib.closing(connection), contextlib.closing(answer):
        ahead = _read_ahead(answer, connection)
        connection.settimeout(None)
        yield Stream(connection, ahead)


def split_frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Whole frames, each as its stream (1 is output, 2 errors) and its bytes, and what is left of an unfinished one."""
    frames = []
    while len(data) >= FRAME_HEADER_BYTES:
        end = FRAME_HEADER_BYTES + int.from_bytes(data[4:8], "big")
        if len(data) < end:
            break
        frames.append((data[0], data[FRAME_HEADER_BYTES:end]))
        data = data[end:]
    return frames, data


def _read_ahead(answer: Any, connection: socket.socket) -> bytes:
    """The library reads the head of an answer through a buffer and then forgets that: what a quick process printed is in
    there, too, where both came at once."""
    connection.settimeout(0)
    try:
        ahead: bytes = answer._response.raw._fp.fp.peek()
    except OSError:  # What broke is told by whoever reads on.
        return b""
    return ahead
