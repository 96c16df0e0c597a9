"""Programs that are started and watched while they run: an `ssh` to interrupt, a `git push` to kill."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

WAIT_SECONDS = 30.0
POLL_SECONDS = 0.02
Answer = TypeVar("Answer")


def until(
    question: Callable[[], Answer], hint: Callable[[], object] = lambda: "", seconds: float = WAIT_SECONDS
) -> Answer:
    """The first true answer. Raises AssertionError with `hint` after `seconds`."""
    end = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < end, f"waited in vain; {hint()}"
        time.sleep(POLL_SECONDS)
    return answer


def until_it_listens(
    process: subprocess.Popen[bytes], port: int, log: Path | None = None, address: str = "127.0.0.1"
) -> None:
    """Wait until a started program takes connections. Raises AssertionError with its `log` where it does not."""

    def said() -> str:
        return log.read_text(errors="replace") if log else ""

    def listens() -> bool:
        assert process.poll() is None, f"{process.args!r} ended:\n{said()}"
        with contextlib.suppress(OSError):
            socket.create_connection((address, port), timeout=1).close()
            return True
        return False

    until(listens, lambda: f"{process.args!r} does not listen:\n{said()}")


class Client:
    """A started program in a session of its own, so that a signal reaches all of it and nothing else."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str], cwd: Path | None, stdin: IO[Any] | int) -> None:
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            words,
            env=env,
            cwd=cwd,
            stdin=stdin,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def text(self) -> str:
        """All that it has printed, both streams together."""
        size = os.fstat(self.output.fileno()).st_size
        return os.pread(self.output.fileno(), size, 0).decode(errors="replace")

    def says(self, text: str) -> None:
        """Wait until it has printed `text`."""
        until(lambda: text in self.text or self.process.poll() is not None, lambda: self.text)
        assert text in self.text, f"it ended without saying {text!r}:\n{self.text}"

    def send(self, number: int) -> None:
        """Send a signal to it and to what it started, as a terminal does."""
        os.killpg(self.process.pid, number)

    def ends(self) -> int:
        """Wait for its end; the exit code."""
        try:
            return self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{self.text}") from None

    def close(self) -> None:
        if self.process.poll() is None:
            self.send(signal.SIGKILL)
            self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()
        self.output.close()
