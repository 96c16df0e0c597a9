"""HAProxy's processes: the worker that takes connections, the ones a reload has left behind, their master."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from paas.router import binary
from paas.router.configuration import CONTROL_SOCKET, MASTER_SOCKET, Identity
from paas.router.difference import identify
from paas.router.runtime import CHUNK_BYTES, RouterFailed, RouterNotRunning, Runtime, ask_once, start
from paas.settings import Settings

RELOAD_SECONDS = 15.0  # until a new worker must answer
MASTER_SECONDS = 5.0  # until the master is back, which is away for a moment with every reload
POLL_SECONDS = 0.02
ABSENT_SECONDS = 0.1  # between two looks whether a router has come
LOOK_SECONDS = 60  # until it is noticed that a reload has left a worker behind, which waits for those connected to it
FOLLOW_SECONDS = 2.0  # until a follower notices that a reload has left it behind
OLD_WORKERS = "# old workers"

Answer = TypeVar("Answer")


class Workers:
    """The way to each worker of one installation."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._control = settings.run_dir / CONTROL_SOCKET
        self._master = settings.run_dir / MASTER_SOCKET

    def current(self) -> Runtime:
        """A conversation with the worker that takes connections. Raises RouterNotRunning."""
        return Runtime(self._control)

    def each(
        self, do: Callable[[Runtime], Answer], do_old: Callable[[Runtime], Answer] | None = None
    ) -> list[Answer]:
        """What `do` returned for every worker that is there, `do_old` for those that a reload has left."""
        answers = _try(self.current, do)
        for pid in old_pids(self._processes()):
            connect = partial(Runtime, self._master, pid)
            found = _try(connect, do_old or do)
            if not found and pid in old_pids(self._processes()):  # The master went away in between.
                found = _try(connect, do_old or do)
            answers += found
        return answers

    def follow(self, command: str) -> Iterator[str]:
        """The lines of an answer that does not end, from the worker that takes connections; ends when another one
        does, or after a while when nobody runs."""
        pid = self._pid()
        try:
            connection = start(self._control, command)
        except RouterNotRunning:
            time.sleep(FOLLOW_SECONDS)
            return
        rest = b""
        with connection:
            connection.settimeout(FOLLOW_SECONDS)
            while True:
                try:
                    chunk = connection.recv(CHUNK_BYTES)
                except TimeoutError:
                    if self._pid() != pid:
                        return
                    continue
                if not chunk:
                    return
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="replace") for line in lines)

    def starts(self) -> Iterator[None]:
        """Says whenever another worker takes connections than before, and the first time at once; for ever.

        A connection to the worker tells of its end. Of a reload nobody tells, but who reloads brings in step as well.
        """
        known = 0
        while True:
            pid = self._pid()
            if pid and pid != known:
                yield
            known = pid
            if not pid:
                time.sleep(ABSENT_SECONDS)
                continue
            with contextlib.suppress(RouterNotRunning), start(self._control, "prompt") as connection:
                connection.sendall(b"set timeout cli %ds\n" % (2 * LOOK_SECONDS))
                connection.settimeout(LOOK_SECONDS)
                with contextlib.suppress(OSError):
                    while connection.recv(CHUNK_BYTES):
                        pass

    def reload(self, wanted: Identity) -> None:
        """Load the file in a new worker; the old one keeps its connections until they end.

        Raises RouterFailed when the file is refused (the old worker goes on), nobody is there to do it, or no new
        worker answers in time.
        """
        complaint = binary.check(self._settings)
        if complaint is not None:
            raise RouterFailed(command="reload", reason=complaint)
        before = self._pid()
        deadline = time.monotonic() + RELOAD_SECONDS
        self._bring_in(deadline)
        while self._pid(wanted) in (0, before):
            if time.monotonic() > deadline:
                raise RouterFailed(command="reload", reason=f"no new worker within {RELOAD_SECONDS:g} s")
            time.sleep(POLL_SECONDS)

    def _bring_in(self, deadline: float) -> None:
        """Have the master bring in a new worker. What it is told while it comes back from the last time is lost: its
        count tells."""
        before = now = _master(self._processes())
        while before and now == before and time.monotonic() < deadline:
            with contextlib.suppress(RouterNotRunning):
                ask_once(self._master, "reload")
            now = _master(self._processes())
        if not now:
            raise RouterFailed(command="reload", reason="its master does not answer. Restart the router's service")

    def _processes(self) -> str:
        """What the master says of its processes. As long as a worker takes connections it is waited for, as it is away
        after each start; nothing where it does not come back."""
        deadline = time.monotonic() + MASTER_SECONDS
        while True:
            with contextlib.suppress(RouterNotRunning):
                if processes := ask_once(self._master, "show proc"):
                    return processes
            if time.monotonic() > deadline or not self._pid():
                return ""
            time.sleep(POLL_SECONDS)

    def _pid(self, wanted: Identity | None = None) -> int:
        try:
            with self.current() as runtime:
                found, pid = identify(runtime.ask)
        except RouterNotRunning:
            return 0
        return pid if wanted in (None, found) else 0


def old_pids(processes: str) -> list[int]:
    """The process ids below `# old workers` in the master's `show proc`."""
    _, _, rest = processes.partition(OLD_WORKERS)
    lines = rest.partition("\n#")[0].splitlines()
    return [int(line.split()[0]) for line in lines if line.strip()]


def _master(processes: str) -> list[str]:
    """How often the master has reloaded, and tried to, in its `show proc`."""
    rows = [line.split() for line in processes.splitlines()]
    return next((row[2:5] for row in rows if row[1:2] == ["master"]), [])


def _try(connect: Callable[[], Runtime], do: Callable[[Runtime], Answer]) -> list[Answer]:
    try:
        with connect() as runtime:
            return [do(runtime)]
    except RouterNotRunning:  # it ended, perhaps while we talked
        return []
