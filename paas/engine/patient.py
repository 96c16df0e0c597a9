"""Waiting for the engine as long as it lives, and no longer.

A build, a pull or a `run` may be silent for an hour, and so may an engine that hangs. Which of the two it is, a ping
beside it tells.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from paas.engine.client import PING_SECONDS, ask_for_life
from paas.errors import EngineUnavailable

# So many times in a row: a single one may be missed by an engine that is only busy.
MISSED = 2
# The part of the time limit of ordinary answers that passes between two pings.
SHARE = 4
INSIST_SECONDS = 0.2
WAKE = signal.SIGUSR1


@dataclass
class _Watch:
    """One block that waits, and what was found out about the engine meanwhile."""

    over: threading.Event = field(default_factory=threading.Event)
    failed: EngineUnavailable | None = None


_watching: list[_Watch] = []


@contextlib.contextmanager
def watched(seconds: float | None) -> Iterator[None]:
    """Ask the engine now and then whether it is there; after about `seconds` without a sign of it the block, which has to
    be in the main thread, ends with EngineUnavailable, wherever it waits. None: somebody else does that already."""
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    if signal.getsignal(WAKE) is not _on_wake:
        # It stays for the rest of the process: one that comes late must not end it.
        signal.signal(WAKE, _on_wake)
    watch = _Watch()
    _watching.append(watch)
    threading.Thread(target=_watch, args=(watch, seconds), daemon=True).start()
    try:
        yield
    finally:
        _watching.remove(watch)
        watch.over.set()


def _watch(watch: _Watch, limit: float) -> None:
    missed, pause = 0, limit / SHARE
    while not watch.over.wait(pause):
        try:
            ask_for_life(min(PING_SECONDS, limit))
            missed = 0
        except EngineUnavailable as error:
            missed += 1
            if missed >= MISSED:
                watch.failed = error
                break
    # More than once: a signal that comes just before the main thread blocks wakes nobody.
    while watch.failed and not watch.over.is_set():
        signal.pthread_kill(threading.main_thread().ident or 0, WAKE)
        watch.over.wait(INSIST_SECONDS)


def _on_wake(number: int, frame: object) -> None:
    for watch in _watching:
        if watch.failed and not watch.over.is_set():
            watch.over.set()
            raise watch.failed
