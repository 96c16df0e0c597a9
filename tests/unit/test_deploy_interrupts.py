"""Ctrl-C, dropped connections and cancelling, and what must not be stopped half-way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from paas import interrupts
from paas.errors import Cancelled


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    interrupts.install()
    yield
    interrupts._pending = None
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "by operation:cancel or SIGTERM"), (signal.SIGHUP, "the connection was dropped")],
)
def test_a_signal_cancels_with_its_reason(number: signal.Signals, reason: str) -> None:
    with pytest.raises(Cancelled) as caught:
        signal.raise_signal(number)
    assert caught.value.reason == reason and interrupts.pending() is None


def test_handlers_of_ordinary_errors_do_not_swallow_it() -> None:
    with pytest.raises(Cancelled):
        try:
            signal.raise_signal(signal.SIGINT)
        except Exception as error:
            raise AssertionError("swallowed") from error


def test_a_shielded_block_finishes_and_remembers() -> None:
    done = []
    with interrupts.shielded():
        with interrupts.shielded():
            signal.raise_signal(signal.SIGTERM)
            done.append("inner")
        signal.raise_signal(signal.SIGINT)
        done.append("outer")
    assert done == ["inner", "outer"]
    assert interrupts.pending() == "Ctrl-C"


def test_the_shield_ends_with_its_block_also_after_an_error() -> None:
    with pytest.raises(KeyError), interrupts.shielded():
        raise KeyError
    with pytest.raises(Cancelled):
        signal.raise_signal(signal.SIGINT)


WATCHER = """
import os, sys, time
from paas import interrupts
from paas.errors import Cancelled
interrupts.install()
interrupts.watch([int(word) for word in sys.argv[1:]], lambda message: os.write(2, b"heard " + message))
try:
    os.write(2, b"ready\\n")
    while True:
        time.sleep(0.01)
except Cancelled as cancelled:
    os.write(2, cancelled.reason.encode())
"""


def watching(*descriptors: int) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", WATCHER, *map(str, descriptors)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, pass_fds=descriptors)
    assert process.stderr is not None and process.stderr.readline() == b"ready\n"
    return process


def test_a_closed_connection_interrupts_after_its_messages_were_heard() -> None:
    ours, theirs = socket.socketpair()
    with watching(theirs.fileno()) as process:
        theirs.close()
        ours.send(b"resize\n")
        assert process.stderr is not None
        assert process.stderr.readline() == b"heard resize\n"
        ours.close()
        assert process.stderr.read() == b"the connection was dropped"


def test_a_reader_of_the_output_that_goes_away_interrupts() -> None:
    ours, theirs = socket.socketpair()
    read_end, write_end = os.pipe()
    with ours, theirs, watching(theirs.fileno(), write_end) as process:
        os.close(write_end)
        os.close(read_end)
        assert process.stderr is not None
        assert process.stderr.read() == b"the connection was dropped"
