"""A command handed to the dispatcher as its front doors do it, without a process of its own: for tests that send many, or words
that must be in no list of processes."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paas.gateway import handover

MAX_OUTPUT = 64 << 20


@dataclass(frozen=True)
class Answer:
    """What a command came back with. `code` None: nothing in time; -1: hung up without an answer."""

    code: int | None
    out: bytes
    err: bytes
    seconds: float
    mark: str

    @property
    def text(self) -> str:
        """All that it said."""
        return (self.out + self.err).decode("utf-8", "replace")


def knock(
    root: Path,
    words: Sequence[bytes],
    door: str = "host",
    key: int | None = None,
    input: bytes = b"",
    environment: Mapping[bytes, bytes] | None = None,
    seconds: float = 120,
) -> Answer:
    """Send one command to the server of `root` and wait for its end. Over door ssh the words are one line."""
    started = time.monotonic()
    try:
        request = handover.encode(door, b"" if key is None else b"%d" % key, b"/", dict(environment or {}), list(words))
    except ValueError as error:  # As the stub says it itself.
        return Answer(1, b"", str(error).encode(), 0, "")
    with in_memory(input) as files, socket.socket(socket.AF_UNIX) as connection:
        mark = str(Path(f"/proc/self/fd/{files[1]}").readlink())
        handover.with_socket_path(os.fsencode(root / "run"), connection.connect)
        connection.settimeout(seconds)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            handover.send(connection, request, files if door == "hook" else files[:3])  # type: ignore[arg-type]
        code, more = replied(connection)
        out, err = (os.pread(item, MAX_OUTPUT, 0) for item in files[1:3])
    return Answer(code, out, err + more, time.monotonic() - started, mark)


def replied(connection: socket.socket) -> tuple[int | None, bytes]:
    """The exit code, and what may follow it."""
    try:
        reply = connection.recv(handover.REPLY_BYTES)
    except ConnectionResetError:
        return -1, b""
    except TimeoutError:
        return None, b""
    return (reply[0], reply[1:]) if reply else (-1, b"")


@contextlib.contextmanager
def in_memory(data: bytes) -> Iterator[list[int]]:
    """Descriptors: standard input with `data`, output, errors, and a pipe that stays open."""
    reader, writer = os.pipe()
    made = [os.memfd_create(name) for name in ("in", f"out-{time.monotonic_ns()}", "err")]
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(made[0], view) :]
        os.lseek(made[0], 0, os.SEEK_SET)
        yield [*made, reader]
    finally:
        for descriptor in (*made, reader, writer):
            os.close(descriptor)
