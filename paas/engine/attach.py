"""Joining a caller's terminal or pipes to a container: run and enter."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import termios
import tty
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from paas.engine.client import engine_errors, patience

if TYPE_CHECKING:
    from docker import APIClient

READ_BYTES = 65536
FRAME_HEADER_BYTES = 8
STDERR_STREAM = 2

Resize = Callable[[int, int], None]


def run_attached(api: APIClient, container_id: str, tty_wanted: bool) -> int:
    """Start a created container joined to descriptors 0, 1 and 2, and return its exit code."""
    with engine_errors(), patience(api):
        stream = _socket(
            api.attach_socket(container_id, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        )
        # Asked for before the start, so that a container that removes itself still says how it ended.
        api.start(container_id)
        resize: Resize = lambda rows, columns: api.resize(container_id, rows, columns)  # noqa: E731
        with contextlib.closing(stream), _terminal(tty_wanted, resize):
            _pump(stream, tty_wanted)
        return int(api.wait(container_id)["StatusCode"])


def exec_attached(
    api: APIClient, container_id: str, command: list[str], tty_wanted: bool, environment: dict[str, str]
) -> int:
    """Run a command in a running container joined to descriptors 0, 1 and 2, and return its exit code."""
    with engine_errors(), patience(api):
        exec_id = api.exec_create(container_id, command, stdin=True, tty=tty_wanted, environment=environment)[
            "Id"
        ]
        stream = _socket(api.exec_start(exec_id, tty=tty_wanted, socket=True))
        resize: Resize = lambda rows, columns: api.exec_resize(exec_id, rows, columns)  # noqa: E731
        with contextlib.closing(stream), _terminal(tty_wanted, resize):
            _pump(stream, tty_wanted)
        return int(api.exec_inspect(exec_id)["ExitCode"] or 0)


def _socket(answer: Any) -> socket.socket:
    """The library wraps the hijacked connection in a reader; the pump wants the socket below it."""
    found: socket.socket = getattr(answer, "_sock", answer)
    found.settimeout(None)
    return found


@contextlib.contextmanager
def _terminal(wanted: bool, resize: Resize) -> Iterator[None]:
    """Raw mode and window sizes for the block, where the caller has a terminal."""
    if not wanted or not os.isatty(0):
        yield
        return

    def on_resize(*_: object) -> None:
        rows, columns = window_size(0)
        if rows and columns:
            with contextlib.suppress(Exception), engine_errors():
                resize(rows, columns)

    before = termios.tcgetattr(0)
    previous = signal.signal(signal.SIGWINCH, on_resize)
    try:
        tty.setraw(0)
        on_resize()
        yield
    finally:
        signal.signal(signal.SIGWINCH, previous)
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def window_size(descriptor: int) -> tuple[int, int]:
    """Rows and columns of a terminal."""
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(descriptor, termios.TIOCGWINSZ, b"\0" * 8))
    return rows, columns


def _pump(stream: socket.socket, raw: bool) -> None:
    """Copy both ways until the container closes its side."""
    poller = select.poll()
    poller.register(stream, select.POLLIN)
    poller.register(0, select.POLLIN)
    frames = b""
    while True:
        for descriptor, _ in poller.poll():
            if descriptor == 0:
                data = _read(0)
                if data:
                    stream.sendall(data)
                    continue
                poller.unregister(0)
                with contextlib.suppress(OSError):
                    stream.shutdown(socket.SHUT_WR)
            else:
                try:
                    data = stream.recv(READ_BYTES)
                except ConnectionResetError:
                    data = b""
                if not data:
                    return
                if raw:
                    _write(1, data)
                else:
                    frames = _write_frames(frames + data)


def _write_frames(data: bytes) -> bytes:
    """Write whole frames to where they belong and return what is left of an unfinished one."""
    while len(data) >= FRAME_HEADER_BYTES:
        kind, length = data[0], int.from_bytes(data[4:8], "big")
        end = FRAME_HEADER_BYTES + length
        if len(data) < end:
            break
        _write(2 if kind == STDERR_STREAM else 1, data[FRAME_HEADER_BYTES:end])
        data = data[end:]
    return data


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, READ_BYTES)
    except OSError:  # a terminal that was closed
        return b""


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
