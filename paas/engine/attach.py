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
from typing import TYPE_CHECKING

from paas.engine.client import engine_errors, patience
from paas.engine.hijacked import READ_BYTES, STDERR_STREAM, Stream, hijacked, split_frames
from paas.errors import EngineFailed

if TYPE_CHECKING:
    from docker import APIClient

Resize = Callable[[int, int], None]


def run_attached(api: APIClient, container_id: str, tty_wanted: bool) -> int:
    """Start a created container joined to descriptors 0, 1 and 2, and return its exit code."""
    with engine_errors(), patience(api):
        resize: Resize = lambda rows, columns: api.resize(container_id, rows, columns)  # noqa: E731
        answer = api.attach_socket(container_id, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        with hijacked(answer) as stream:
            api.start(container_id)
            with _terminal(tty_wanted, resize):
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
        resize: Resize = lambda rows, columns: api.exec_resize(exec_id, rows, columns)  # noqa: E731
        with (
            hijacked(api.exec_start(exec_id, tty=tty_wanted, socket=True)) as stream,
            _terminal(tty_wanted, resize),
        ):
            _pump(stream, tty_wanted)
        code = api.exec_inspect(exec_id)["ExitCode"]
        if code is None:
            raise EngineFailed(reason="it did not say how the command ended")
        return int(code)


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


def _pump(stream: Stream, raw: bool) -> None:
    """Copy both ways until the container closes its side."""
    poller = select.poll()
    poller.register(stream.socket, select.POLLIN)
    poller.register(0, select.POLLIN)
    rest = _show(stream.ahead, raw)
    while True:
        for descriptor, _ in poller.poll():
            if descriptor == 0:
                data = _read(0)
                if data:
                    stream.socket.sendall(data)
                    continue
                poller.unregister(0)
                with contextlib.suppress(OSError):
                    stream.socket.shutdown(socket.SHUT_WR)
            else:
                data = stream.receive()
                if not data:
                    return
                rest = _show(rest + data, raw)


def _show(data: bytes, raw: bool) -> bytes:
    """Write output to where it belongs; what is left of an unfinished frame."""
    if raw:
        _write(1, data)
        return b""
    frames, rest = split_frames(data)
    for kind, piece in frames:
        _write(2 if kind == STDERR_STREAM else 1, piece)
    return rest


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, READ_BYTES)
    except OSError:  # a terminal that was closed
        return b""


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
