"""The same command on every app, one after the other or several at once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from typing import TextIO

from paas import interrupts
from paas.console import Console
from paas.deploy.session import Session
from paas.errors import Cancelled, PaasError
from paas.store.apps import App

Action = Callable[[Session, App], None]


class SomeFailed(PaasError):
    """{what} failed for {count} of the apps: {names}"""


def every_app(session: Session, apps: list[App], what: str, action: Action, at_once: int) -> None:
    """Do it for each of the apps; `at_once` below 1 means as many as there are processors. Raises SomeFailed at the end."""
    at_once = at_once if at_once > 0 else os.cpu_count() or 1
    if at_once == 1 or len(apps) < 2:
        failed = _one_by_one(session, what, action, apps)
    else:
        failed = _at_once(session, what, action, apps, at_once)
    if failed:
        raise SomeFailed(what=what, count=len(failed), names=", ".join(failed))


def _one_by_one(session: Session, what: str, action: Action, apps: Iterable[App]) -> list[str]:
    session.console.warn(f"Running {what} in serial mode")
    return [app.name for app in apps if not _performed(session, what, action, app)]


def _performed(session: Session, what: str, action: Action, app: App) -> bool:
    session.console.step(f"Running {what} against app {app.name}")
    try:
        action(session, app)
    except PaasError as error:
        for line in error.lines:
            session.console.warn(line)
        return False
    return True


def _at_once(session: Session, what: str, action: Action, apps: list[App], at_once: int) -> list[str]:
    """A process for each app, at most `at_once`; what one says is printed when it has ended, so that nothing mixes."""
    session.console.warn(f"Running {what} in parallel mode ({at_once} at once)")
    running: dict[int, tuple[App, TextIO]] = {}
    failed: list[str] = []

    def reap() -> None:
        pid, status = os.waitpid(-1, 0)
        if pid not in running:
            return
        app, said = running.pop(pid)
        with said:
            said.seek(0)
            session.console.out.write(said.read())
            session.console.out.flush()
        if os.waitstatus_to_exitcode(status) != 0:
            failed.append(app.name)

    try:
        for app in apps:
            while len(running) >= at_once:
                reap()
            said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace")
            session.console.out.flush()
            running[_begin(session, what, action, app, said)] = (app, said)
        while running:
            reap()
    except BaseException:
        with interrupts.shielded():
            for pid in running:
                os.kill(pid, interrupts.SIGNALS[1])
            while running:
                reap()
        raise
    return failed


def _begin(session: Session, what: str, action: Action, app: App, said: TextIO) -> int:
    """Fork a process that does it with a session of its own; its id."""
    # SQLite's state of a file does not survive a fork.
    session.disconnect()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        own = Session(session.settings, session.caller, Console(said, said, session.console.quiet))
        own.waits, own.reach = session.waits, session.reach
        code = 0 if _performed(own, what, action, app) else 1
    except Cancelled as cancelled:
        said.write(f" !     {app.name}: cancelled ({cancelled.reason})\n")
    finally:
        said.flush()
        os._exit(code)
