"""A single-threaded loop that accepts connections and forks a process for each at once."""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Handle = Callable[[socket.socket, Callable[[], None]], None]

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
ACCEPT_RETRY_SECONDS = 0.1


@dataclass
class ForkingServer:
    """Forks for each connection that `listener` accepts; the child runs `handle` and exits.

    `handle` gets the connection and what to call when it knows that somebody wants something. Beyond `limit` children
    at a time the oldest that has not called it makes room (SIGALRM); where there is none, `refuse` answers, in the
    server itself, so it must not block. A child is on its own: the end of the server doesn't end it. `prepare` is
    called in the server before each fork; a connection that `admit` says no to is closed.
    """

    listener: socket.socket
    handle: Handle
    refuse: Callable[[socket.socket], None]
    limit: int
    prepare: Callable[[], None] = lambda: None
    admit: Callable[[socket.socket], bool] = lambda _connection: True
    # Each child's place, the oldest child first.
    children: dict[int, int] = field(default_factory=dict)
    _stopping: bool = False

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
            for descriptor, _ in poller.poll():
                if descriptor == reader:
                    os.read(reader, 4096)
                    self._reap()
                else:
                    self._accept()
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
            self.prepare()
            place = self._free.pop()
            self._wanted[place] = 0
            try:
                pid = os.fork()
            except OSError:
                self._free.append(place)
                self.refuse(connection)
                return
            if pid == 0:
                self._child(connection, place)
            self.children[pid] = place

    def _child(self, connection: socket.socket, place: int) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in HANDLED:
                signal.signal(number, signal.SIG_DFL)
            connection.setblocking(True)
            self.handle(connection, lambda: self._wanted.__setitem__(place, 1))
            code = 0
        except BaseException:
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
        finally:
            os._exit(code)


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
