"""What a command prints: Dokku's line shapes, progress, and a copy of it all in the operation's log.

``-----> step``, ``=====> headline``, seven spaces for detail, `` !     `` for warnings and errors.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import AnyStr, BinaryIO, TextIO

from paas.errors import Cancelled, legible

STEP = "-----> "
HEADLINE = "=====> "
DETAIL = "       "
WARNING = " !     "

PLAIN_PROGRESS_SECONDS = 5.0
LIVE_PROGRESS_SECONDS = 0.1

# Colours; then other control sequences, strings (a window's title, a clipboard, ...) and all other escapes; then single
# control characters but tab and the ends of lines.
_SEQUENCES = (
    r"(\x1b\[[0-9;:]*m)"
    r"|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|\Z)"
)
_IN_TEXT = re.compile(_SEQUENCES + r"|[\x80-\x9f]")
_IN_BYTES = re.compile(_SEQUENCES.encode() + rb"|\xc2[\x80-\x9f]")


def harmless(text: AnyStr) -> AnyStr:
    """What comes from others, without what would move the cursor, name the window or type an answer for the reader; colours stay."""
    if isinstance(text, str):
        return _IN_TEXT.sub(lambda found: found[1] or "", text)
    return _IN_BYTES.sub(lambda found: found[1] or b"", text)


class Console:
    """Standard output and error of one command, and optionally the log that records them."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None, quiet: bool = False) -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.quiet = quiet
        self.log: BinaryIO | None = None
        self._live = False
        # Set once what was written can't be read by anybody any more but the work goes on (after the switch).
        self.deaf = False

    def step(self, text: str) -> None:
        self._lines(STEP, text)

    def headline(self, text: str) -> None:
        self._lines(HEADLINE, text)

    def detail(self, text: str) -> None:
        self._lines(DETAIL, text)

    def header(self, text: str) -> None:
        """A headline that --quiet hides."""
        if not self.quiet:
            self.headline(text)

    def step_header(self, text: str) -> None:
        """A step line that --quiet hides."""
        if not self.quiet:
            self.step(text)

    def print(self, text: str = "") -> None:
        self._write(self.out, text + "\n")

    def json(self, value: object) -> None:
        """One compact JSON document on a line."""
        self.print(json.dumps(value, separators=(",", ":"), ensure_ascii=False))

    def raw(self, data: bytes) -> None:
        """Bytes as they came from somewhere else, such as a container."""
        self._guard(lambda: _write_raw(self.out, data))

    def warn(self, text: str) -> None:
        self._lines(WARNING, legible(text), self.err)

    def table(self, rows: Iterable[Iterable[object]]) -> None:
        """Columns aligned by their widest cell, two spaces apart."""
        cells = [[str(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)] if cells else []
        for row in cells:
            self.print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def progress(self, what: str) -> Progress:
        """Start reporting how far `what` has come."""
        return Progress(self, what)

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Say that the block waits for `what`, and now and then for how long already."""
        self.step(f"Waiting for {what}")
        progress = self.progress("Waiting")
        with progress.ticking(lambda: f"{progress.seconds():.0f} s"):
            yield

    def _lines(self, prefix: str, text: str, stream: TextIO | None = None) -> None:
        self._write(stream or self.out, "".join(f"{prefix}{line}\n" for line in harmless(text).split("\n")))

    def _write(self, stream: TextIO, text: str) -> None:
        self.end_live()
        if self.log is not None:
            self.log.write(text.encode("utf-8", "replace"))
            self.log.flush()
        self._guard(lambda: _print(stream, text))

    def live(self, text: str) -> None:
        """Redraw the terminal's last line; never goes to the log."""
        self._live = True
        self._guard(lambda: _print(self.out, f"\r\x1b[K{DETAIL}{text}"))

    def end_live(self) -> None:
        if self._live:
            self._live = False
            self._guard(lambda: _print(self.out, "\r\x1b[K"))

    def _guard(self, write: Callable[[], None]) -> None:
        if self.deaf:
            return
        try:
            write()
        except BrokenPipeError:
            self.deaf = True
            raise Cancelled("nobody reads the output any more") from None

    def is_terminal(self) -> bool:
        return self.out.isatty()


class Progress:
    """A live line on a terminal, a plain line every few seconds in a pipe."""

    def __init__(self, console: Console, what: str) -> None:
        self.console = console
        self.what = what
        self.started = time.monotonic()
        self.live = console.is_terminal()
        self._next = self.started + (0.0 if self.live else PLAIN_PROGRESS_SECONDS)

    def update(self, state: str) -> None:
        """Say `state` when the last word is long enough ago."""
        now = time.monotonic()
        if now < self._next:
            return
        line = f"{self.what}: {state}"
        if self.live:
            self._next = now + LIVE_PROGRESS_SECONDS
            self.console.live(line)
        else:
            self._next = now + PLAIN_PROGRESS_SECONDS
            self.console.detail(line)

    def bytes(self, done: int, total: int | None = None) -> None:
        """Say how many bytes are done, of how many, and how fast."""
        self.update(self.rate(done, total))

    def rate(self, done: int, total: int | None = None) -> str:
        """``1.5 MB of 3.0 MB, 0.5 MB/s``."""
        rate = done / max(self.seconds(), 0.001)
        share = f" of {size(total)}" if total else ""
        return f"{size(done)}{share}, {size(rate)}/s"

    @contextlib.contextmanager
    def ticking(self, state: Callable[[], str]) -> Iterator[None]:
        """Say `state()` every now and then while the block waits for something that tells nothing itself."""
        ended = threading.Event()

        def tick() -> None:
            while not ended.wait(LIVE_PROGRESS_SECONDS if self.live else PLAIN_PROGRESS_SECONDS):
                with contextlib.suppress(Cancelled):
                    self.update(state())

        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.console.end_live()

    def seconds(self) -> float:
        return time.monotonic() - self.started


def size(count: float) -> str:
    """1536 as ``1.5 kB``: decimal units, as Docker prints them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _print(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()


def _write_raw(stream: TextIO, data: bytes) -> None:
    stream.flush()
    descriptor, view = stream.fileno(), memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
