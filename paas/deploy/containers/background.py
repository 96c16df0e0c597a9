"""Going on without the caller: a process of its own that does the work and tells the caller one thing first."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from paas.console import Console
from paas.deploy.session import Session
from paas.errors import Cancelled, PaasError

_BEGUN = b"+"

Tell = Callable[[str], None]


def in_background(session: Session, work: Callable[[Session, Tell], object]) -> str:
    """Run `work` in a process that outlives this one, without the caller's descriptors; what it tells first.

    `work` gets a session of its own. Raises PaasError with its error's text when it fails before it told anything.
    """
    # SQLite's state of a file does not survive a fork.
    session.disconnect()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    reader, writer = os.pipe2(os.O_CLOEXEC)
    if os.fork() == 0:
        _be(session, work, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        answer = answers.read()
    if not answer.startswith(_BEGUN):
        raise PaasError(answer.decode("utf-8", "replace") or "Its process was killed before it began")
    return answer[1:].decode("utf-8", "replace")


def _be(session: Session, work: Callable[[Session, Tell], object], writer: int) -> NoReturn:
    def tell(text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(writer, _BEGUN + text.encode())
            os.close(writer)

    code = 1
    try:
        with contextlib.suppress(PermissionError):
            os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        for entry in list(Path("/proc/self/fd").iterdir()):
            if int(entry.name) > 2 and int(entry.name) != writer:
                with contextlib.suppress(OSError):
                    os.close(int(entry.name))
        work(Session(session.settings, session.caller, Console(quiet=True)), tell)
        code = 0
    except (PaasError, Cancelled) as error:
        with contextlib.suppress(OSError):
            os.write(writer, str(error).encode())
    finally:
        os._exit(code)
