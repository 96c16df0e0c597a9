"""Watching and cancelling operations of other processes."""

from __future__ import annotations

import os
import signal
from typing import BinaryIO

from inotify_simple import INotify, flags

from paas.deploy.session import Session
from paas.errors import PaasError
from paas.model.operation import Operation, OperationEnded
from paas.store.operations import alive

READ_BYTES = 65536
# An operation's process may be killed without writing another byte: then nothing wakes us but this.
LOOK_MILLISECONDS = 1000


class NotRunning(PaasError):
    """Operation #{id} is not running any more: its process was killed. The next command on {app} undoes what it left"""


def follow(session: Session, record: Operation) -> int:
    """Print the log from its start until the operation ends; 0 when it succeeded, else 1."""
    path = session.operations.log_path(record.id)
    path.touch(0o600)
    with INotify() as watcher, path.open("rb") as log:
        watcher.add_watch(str(path), flags.MODIFY | flags.CLOSE_WRITE)
        while True:
            record = session.operations.get(record.id)
            _copy(session, log)
            if not record.open:
                break
            # It may have ended in between.
            if not alive(record) and session.operations.get(record.id).open:
                raise NotRunning(id=record.id, app=record.app_name)
            watcher.read(timeout=LOOK_MILLISECONDS, read_delay=None)
    if record.status == "succeeded":
        return 0
    session.console.warn(
        f"Operation #{record.id} {record.status}: {record.message.splitlines()[0] if record.message else ''}"
    )
    return 1


def _copy(session: Session, log: BinaryIO) -> None:
    while data := log.read(READ_BYTES):
        session.console.raw(data)


def cancel(session: Session, record: Operation) -> None:
    """Ask the process that performs the operation to stop. Raises OperationEnded or NotRunning."""
    if not record.open:
        raise OperationEnded(id=record.id, status=record.status)
    if not alive(record):
        raise NotRunning(id=record.id, app=record.app_name)
    os.kill(record.pid, signal.SIGTERM)
    on = f" on {record.app_name}" if record.app_name else ""
    session.console.step(f"Requesting cancellation on {record.status} {record.kind} #{record.id}{on}...")
