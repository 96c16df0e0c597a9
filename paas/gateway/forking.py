"""A single-threaded loop that accepts connections and has a process of its own for each, forked before it is needed."""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Handle = Callable[[socket.socket, Callable[[], None]], None]

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
ACCEPT_RETRY_SECONDS = 0.1
# Where commands come one upon the other, to rehearse would take time from them.
REHEARSE_AFTER_SECONDS = 0.05
# It costs memory, some 9 MB: kept for whoever sends several commands, not for the night.
STANDBY_SECONDS = 60.0
PLACE_BYTES = 4


@dataclass(frozen=True)
class _Standby:
    """A child without a connection, the line over which it gets one, and until when it is kept, in seconds of the monotonic
    clock."""

    pid: int
    line: socket.socket
    until: float

    def milliseconds(self) -> float:
        """How long it is still kept."""
        return max(0.0, self.until - time.monotonic()) * 1000


@dataclass
class ForkingServer:
    """Forks for each connection that `listener` accepts; the child runs `handle` and exits.

    `handle` gets the connection and what to call when it knows that somebody wants something. Beyond `limit` children
    at a time the oldest that has not called it makes room (SIGALRM); where there is none, `refuse` answers, in the
    server itself, so it must not block. A child is on its own: the end of the server doesn't end it. `prepare` is
    called in the server before each fork; a connection that `admit` says no to is closed.

    With `rehearse` one child more stands by for a minute after each connection and gets the next one. In the meantime it
    calls that: nobody waits for the fork, nor for the pages of memory to become its own that a child writes to.
    """

    listener: socket.socket
    handle: Handle
    refuse: Callable[[socket.socket], None]
    limit: int
    prepare: Callable[[], None] = lambda: None
    admit: Callable[[socket.socket], bool] = lambda _connection: True
    rehearse: Callable[[], None] | None = None
    # Each child's place, the oldest child first.
    children: dict[int, int] = field(default_factory=dict)
    _stopping: bool = False
    _standby: _Standby | None = None

    def __post_init__(self) -> None:
        # Shared with the children: at a place is 1 once its child knows that it is wanted.
        self._wanted = mmap.mmap(-1, self.limit)
        self._free = list(range(self.limit))

    def run(self, ready: Callable[[], None]) -> None:
        """Say `ready`, then accept until SIGTERM or SIGINT."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in HANDLED:
            signal.signal(number, self._on_signal)
        self.listener.setblocking(False)
        poller = select.poll()
        poller.register(reader, select.POLLIN)
        poller.register(self.listener, select.POLLIN)
        ready()
        while not self._stopping:
            found = poller.poll(self._standby.milliseconds() if self._standby else None)
            for descriptor, _ in found:
                if descriptor == reader:
                    os.read(reader, 4096)
                    self._reap()
                else:
                    self._accept()
                    self._stand_by()
            if not found:
                self._dismiss()
        self.listener.close()

    def _on_signal(self, number: int, _frame: object) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stopping = True

    def _reap(self) -> None:
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self.children:
                self._free.append(self.children.pop(pid))

    def _make_room(self) -> bool:
        for pid, place in self.children.items():
            if not self._wanted[place]:
                os.kill(pid, signal.SIGALRM)
                self._free.append(self.children.pop(pid))
                return True
        return False

    def _accept(self) -> None:
        try:
            connection, _ = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:  # Out of descriptors or memory: the one who waits stays in the queue.
            select.select([], [], [], ACCEPT_RETRY_SECONDS)
            return
        with connection:
            if not self.admit(connection):
                return
            if not self._free and not self._make_room():
                self.refuse(connection)
                return
            place = self._free.pop()
            self._wanted[place] = 0
            pid = self._hand_over(connection, place) or self._fork(lambda: self._child(connection, place))
            if not pid:
                self._free.append(place)
                self.refuse(connection)
                return
            self.children[pid] = place

    def _fork(self, be: Callable[[], None]) -> int:
        """The pid of a new child, which will `be` that; 0 where there is none to be had."""
        self.prepare()
        try:
            pid = os.fork()
        except OSError:
            return 0
        if pid == 0:
            be()
        return pid

    def _hand_over(self, connection: socket.socket, place: int) -> int:
        """Give a connection to the child that stands by; its pid, 0 without one."""
        if self._standby is None:
            return 0
        try:
            socket.send_fds(self._standby.line, [place.to_bytes(PLACE_BYTES, "big")], [connection.fileno()])
            return self._standby.pid
        except OSError:  # It was killed.
            return 0
        finally:
            self._dismiss()

    def _dismiss(self) -> None:
        """Let the child go that stands by; it ends unless it got a connection."""
        if self._standby is not None:
            self._standby.line.close()
        self._standby = None

    def _stand_by(self) -> None:
        """Have a child that stands by, if one is to be had."""
        if self.rehearse is None or self._standby is not None:
            return
        line, childs = socket.socketpair()
        with childs:
            pid = self._fork(lambda: self._wait(line, childs))
        self._standby = _Standby(pid, line, time.monotonic() + STANDBY_SECONDS)
        if not pid:
            self._dismiss()

    def _wait(self, servers: socket.socket, line: socket.socket) -> None:
        """Be the child that stands by; doesn't return."""
        try:
            servers.close()
            call_ourselves("paas stand-by")
            _own_signals()
            if self.rehearse is not None and not select.select([line], [], [], REHEARSE_AFTER_SECONDS)[0]:
                self.rehearse()
            place, descriptors, _, _ = socket.recv_fds(line, PLACE_BYTES, 1)
            line.close()
        except BaseException:
            os._exit(1)
        if not descriptors:
            os._exit(0)
        self._child(socket.socket(fileno=descriptors[0]), int.from_bytes(place, "big"))

    def _child(self, connection: socket.socket, place: int) -> None:
        code = 1
        try:
            _own_signals()
            connection.setblocking(True)
            self.handle(connection, lambda: self._wanted.__setitem__(place, 1))
            code = 0
        except BaseException:
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
        finally:
            os._exit(code)


def _own_signals() -> None:
    """A child's signals are not its server's."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)


def call_ourselves(name: str) -> None:
    """The name under which ps and top show this process; the kernel keeps 15 characters of it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def close_other_descriptors(keep: set[int]) -> None:
    """Close every descriptor above 2 that isn't in `keep`."""
    # A list first: the directory itself is read through a descriptor.
    numbers = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    for number in numbers:
        if number > 2 and number not in keep:
            try:
                os.close(number)
            except OSError:
                continue
