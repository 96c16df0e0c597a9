"""Every change is an operation: recorded, logged, one at a time per app, and undone when it is interrupted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from paas import interrupts
from paas.console import HEADLINE, WARNING
from paas.deploy.recovery import recover
from paas.deploy.session import Session
from paas.deploy.upkeep.agent_mail import CLEAN, tell_agent
from paas.deploy.upkeep.builds import prune_after
from paas.errors import AppNotFound, Cancelled, PaasError
from paas.model.operation import Operation
from paas.steps import Told, in_milliseconds, pack, recording, step, tell
from paas.store.apps import App
from paas.store.locks import FileLock, app_lock
from paas.store.operations import alive


class AppBusy(PaasError):
    """{app} is being changed by {holder}. Nothing was changed. Send the command again without --no-wait to take its turn"""


@contextlib.contextmanager
def operation(session: Session, app: App, kind: str, words: str = "") -> Iterator[RunningOperation]:
    """Hold the app's lock and record what happens in the block. `words` must not hold secrets.

    Raises AppBusy when another operation has the lock and the caller does not want to wait for it.
    """
    record = session.operations.start(app, kind, words, session.caller)
    console = session.console
    with recording(kind) as whole, session.operations.log_path(record.id).open("ab") as log:
        console.log = log
        lock = app_lock(session.settings, app.id)
        running = RunningOperation(session, app, record)
        try:
            with _ending(session, record.id, whole):
                with step("lock"):
                    _take_turn(session, app, record, lock)
                with step("recover"):
                    recover(session, running.app, record.id)
                session.operations.run(record.id)
                yield running
        finally:
            console.log = None
            lock.release()
            prune_after(session, app.id)
            _tell_parent(session, record.id, whole)


@contextlib.contextmanager
def logged(session: Session, app: App, kind: str, words: str = "") -> Iterator[Operation]:
    """Record and log what happens in the block, without the app's lock: beside deploys. `words` must not hold secrets."""
    record = session.operations.start(app, kind, words, session.caller)
    with recording(kind) as whole, session.operations.log_path(record.id).open("ab") as log:
        session.console.log = log
        try:
            with _ending(session, record.id, whole):
                session.operations.run(record.id)
                yield record
        finally:
            session.console.log = None
            prune_after(session, app.id)


class RunningOperation:
    """The operation that this process performs."""

    def __init__(self, session: Session, app: App, record: Operation) -> None:
        self.session = session
        self._app = app
        self.record = record
        self.started = time.monotonic()

    @property
    def app(self) -> App:
        """The app as it is now: the lock may have been waited for. Raises AppNotFound."""
        found = self.session.apps.by_id(self._app.id)
        if found is None:
            raise AppNotFound(app=self._app.name)
        return found

    @property
    def id(self) -> int:
        return self.record.id


def _tell_parent(session: Session, operation_id: int, whole: recording) -> None:
    """What a push's hook does at its end: the command that started git adds the steps to its own."""
    if session.caller.descriptors:
        tell(session.caller.descriptors[0], pack(operation_id, whole))


def record_push(session: Session, began: float, told: Told) -> None:
    """Add to a push's operation what came before and after it: receiving, and the acceptance of the ref by git. `began`
    is when the push did, in seconds of the monotonic clock."""
    session.operations.set_steps(told.number, in_milliseconds(told.within(began), began))


def _take_turn(session: Session, app: App, record: Operation, lock: FileLock) -> None:
    if lock.try_acquire():
        return
    holder = _holder(session, app, record)
    if not session.waits:
        raise AppBusy(app=app.name, holder=holder)
    with session.console.waiting(holder):
        lock.acquire()


def _holder(session: Session, app: App, record: Operation) -> str:
    for other in session.operations.open(app.id):
        if other.id != record.id and other.status == "running" and alive(other):
            seconds = max(0, round(time.time() - (other.started_at or other.created_at)))
            return f"operation #{other.id} ({other.kind} by {other.caller}, running for {seconds} s)"
    return "another operation"


@contextlib.contextmanager
def _ending(session: Session, operation_id: int, whole: recording) -> Iterator[None]:
    """Record how the block ends, and its steps."""
    try:
        try:
            yield
        finally:
            # That it can't be written is not what the operation ends with.
            with contextlib.suppress(PaasError):
                session.operations.set_steps(operation_id, in_milliseconds(whole.parts(), whole.began))
    except (Cancelled, PaasError) as error:
        _end(session, operation_id, error)
        raise
    except BaseException as error:
        session.operations.finish(operation_id, "failed", f"internal error: {type(error).__name__}")
        raise
    session.operations.finish(operation_id, "succeeded")


def _end(session: Session, operation_id: int, error: PaasError | Cancelled) -> None:
    """Record how it ended. Whoever sees the end may read the log at once, so that comes first."""
    if isinstance(error, Cancelled):
        _log(session, f"{WARNING}Cancelled: {error.reason}")
        session.operations.finish(operation_id, "cancelled", error.reason)
    else:
        _log(session, "\n".join(f"{WARNING}{line}" for line in error.lines))
        session.operations.finish(operation_id, "failed", str(error))
    # The engine may have gone away before all of it was undone.
    tell_agent(session.settings, CLEAN)


def _log(session: Session, text: str) -> None:
    # That it can't be written is not what the operation ends with.
    with contextlib.suppress(OSError):
        if session.console.log is not None:
            session.console.log.write(f"{text}\n".encode("utf-8", "replace"))
            session.console.log.flush()


def announce(session: Session, urls: list[str]) -> None:
    """The end of every deploy. Clients wait for the words ``Application deployed``."""
    session.console.print(f"{HEADLINE}Application deployed:")
    for url in urls:
        session.console.detail(url)
    if interrupts.pending():
        session.console.warn("The deploy had switched already when it was cancelled, so it was finished")
