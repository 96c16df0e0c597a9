"""Ctrl-C, a dropped connection and operation:cancel, turned into one exception.

A command process is interrupted by a signal or because the reader of its output went away. Before a deploy's
switch that raises `Cancelled` in the main thread wherever it waits; inside `shielded()` it is only remembered.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from paas.errors import Cancelled

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REASONS = {
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "by operation:cancel or SIGTERM",
    signal.SIGHUP: "the connection was dropped",
}

NOTICE_SECONDS = 0.2
GIVE_WAY_SECONDS = 0.3

_noticed = 0
_shields = 0
_pending: str | None = None


def install() -> None:
    """Make the signals above raise `Cancelled` in the main thread."""
    for number in SIGNALS:
        signal.signal(number, _on_signal)


def _on_signal(number: int, _frame: FrameType | None) -> None:
    global _pending, _noticed
    _noticed += 1
    reason = REASONS[signal.Signals(number)]
    if _shields:
        _pending = reason
        return
    raise Cancelled(reason)


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Finish what must not stop half-way: interruptions inside the block are remembered, not raised."""
    global _shields
    _shields += 1
    try:
        yield
    finally:
        _shields -= 1


def pending() -> str | None:
    """Why somebody wanted to interrupt a shielded block, None if nobody did."""
    return _pending


def watch(descriptors: list[int], on_message: Callable[[bytes], None] | None = None) -> None:
    """Interrupt the main thread when a reader of `descriptors` goes away.

    The first descriptor may be a socket on which the other side sends messages (`on_message`) and whose end of
    file means that it is gone; of the others only a hang-up counts. Runs in a daemon thread until then.
    """
    threading.Thread(target=_watch, args=(descriptors, on_message), daemon=True).start()


def _watch(descriptors: list[int], on_message: Callable[[bytes], None] | None) -> None:
    poller = select.poll()
    control = descriptors[0]
    for descriptor in descriptors:
        # Without POLLIN the kernel still reports POLLERR and POLLHUP: nobody will read what is written there.
        poller.register(descriptor, select.POLLIN if descriptor == control else 0)
    while True:
        for descriptor, events in poller.poll():
            if descriptor == control and events & select.POLLIN:
                try:
                    message = os.read(control, 4096)
                except OSError:
                    # The process is ending and has closed it.
                    return
                if message:
                    if on_message:
                        on_message(message)
                    continue
            _insist()
            return


def _insist() -> None:
    """Send SIGHUP until it was noticed: one that comes just before the main thread blocks wakes nobody."""
    noticed = _noticed
    while _noticed == noticed:
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(NOTICE_SECONDS)


def give_way() -> None:
    """Where a client's stream ended early the client may have gone: the signal that says so counts more than the error,
    and comes in a moment if it comes at all. Raises Cancelled."""
    time.sleep(GIVE_WAY_SECONDS)
