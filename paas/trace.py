"""--trace and trace:on: lines on standard error that say what a command asks of the engine and which programs it starts,
and at its end which steps took how long.

No values are shown: of a request the path without its query, of a program its name and first words that are no values.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TextIO

from paas.steps import Took, recording

MARK = "+ "
MAX_LINE = 300

_started: float | None = None
_stream: TextIO | None = None
_hooked = False  # for good: a hook can't be taken away


def begin(stream: TextIO | None = None) -> None:
    """Trace from now on, in this process and what it forks; to standard error where no stream is given."""
    global _started, _stream, _hooked
    _stream = stream
    if _started is None:
        _started = time.monotonic()
    if not _hooked:
        sys.addaudithook(_on_event)
        _hooked = True


def end() -> None:
    """Trace no more."""
    global _started
    _started = None


def on() -> bool:
    return _started is not None


def note(text: str) -> None:
    """One line, with the seconds since tracing began."""
    if _started is not None:
        _say(f"{MARK}{time.monotonic() - _started:7.3f} s  {text}"[:MAX_LINE])


def _say(line: str) -> None:
    stream = _stream or sys.stderr
    with contextlib.suppress(OSError, ValueError):
        stream.write(f"{line}\n")
        stream.flush()


@contextlib.contextmanager
def timed(name: str) -> Iterator[None]:
    """Keep the steps inside of the block; at its end a trace shows them, with where they began and how long they took."""
    whole = recording(name)
    try:
        with whole:
            yield
    finally:
        if on():
            _table(whole)


def _table(whole: recording) -> None:
    rows = [Took(0, whole.name, "", whole.began, whole.ended)]
    rows += [replace(item, depth=item.depth + 1) for item in whole.parts()]
    _say(f"{MARK}{'step':<40} {'start ms':>10} {'took ms':>10}")
    for item in rows:
        label = f"{'  ' * item.depth}{item.name} {item.about}".rstrip()
        start, took = (item.began - whole.began) * 1000, (item.ended - item.began) * 1000
        _say(f"{MARK}{label:<40} {start:>10.1f} {took:>10.1f}")


def answered(response: Any, *_: object, **__: object) -> None:
    """A hook for requests' sessions: method, path, status and how long the answer took."""
    request = response.request
    path = request.url.partition("?")[0].partition("://")[2].partition("/")[2]
    took = response.elapsed.total_seconds() * 1000
    note(f"engine: {request.method} /{path} {response.status_code} ({took:.1f} ms)")


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen":
        program, words = arguments[0], arguments[1]
        note(f"starts: {_shown(program, words)}")


def _shown(program: Any, words: Sequence[Any]) -> str:
    """A program and its words; of options such as ``--build-arg=K=V`` only their names."""
    shown = [os.path.basename(os.fsdecode(program))]  # noqa: PTH119 - it may be bytes
    shown += [_name(os.fsdecode(word)) for word in list(words)[1:]]
    return " ".join(shown)


def _name(word: str) -> str:
    return word.partition("=")[0] + "=…" if "=" in word else word
