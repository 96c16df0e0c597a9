"""--trace and trace:on: lines on standard error that say what a command asks of the engine and which programs it starts.

No values are shown: of a request the path without its query, of a program its name and first words that are no values.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

MARK = "+ "
MAX_LINE = 300

_started: float | None = None


def begin() -> None:
    """Trace from now on, in this process and what it forks."""
    global _started
    if _started is None:
        _started = time.monotonic()
        sys.addaudithook(_on_event)


def on() -> bool:
    return _started is not None


def note(text: str) -> None:
    """One line, with the seconds since tracing began."""
    if _started is not None:
        line = f"{MARK}{time.monotonic() - _started:7.3f} s  {text}"[:MAX_LINE]
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


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
