"""The record of operations and their logs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from paas.model.caller import Caller
from paas.model.operation import NoSuchOperation, Operation, OperationStatus
from paas.store.apps import App
from paas.store.database import Database, Row

PAGE = 500


class Operations:
    """Recorded changes, newest first."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def start(self, app: App | None, kind: str, words: str, caller: Caller) -> Operation:
        """Record that this process begins an operation; it counts as queued until `run`."""
        pid = os.getpid()
        cursor = self.database.execute(
            "INSERT INTO operations (app_id, app_name, kind, words, caller, door, status, created_at, pid,"
            " pid_started) VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?)",
            (
                app.id if app else None,
                app.name if app else None,
                kind,
                words,
                caller.name,
                caller.door,
                time.time(),
                pid,
                process_start(pid),
            ),
        )
        return self.get(int(cursor.lastrowid or 0))

    def done(self, app: App | None, kind: str, words: str, caller: Caller, failure: str = "") -> None:
        """Record what is over already: with a `failure` that it did not happen."""
        record = self.start(app, kind, words, caller)
        self.finish(record.id, "failed" if failure else "succeeded", failure)

    def get(self, operation_id: int) -> Operation:
        """Raises NoSuchOperation."""
        found = self.find(operation_id)
        if found is None:
            raise NoSuchOperation(id=operation_id)
        return found

    def find(self, operation_id: int) -> Operation | None:
        row = self.database.row("SELECT * FROM operations WHERE id = ?", (operation_id,))
        return None if row is None else _operation(row)

    def recent(self, app: App | None = None, limit: int = 50) -> list[Operation]:
        if app is None:
            rows = self.database.rows("SELECT * FROM operations ORDER BY id DESC LIMIT ?", (limit,))
        else:
            rows = self.database.rows(
                "SELECT * FROM operations WHERE app_id = ? ORDER BY id DESC LIMIT ?", (app.id, limit)
            )
        return [_operation(row) for row in rows]

    def search(
        self, since: float = 0, caller: str = "", apps: Collection[int] | None = None, limit: int = -1
    ) -> Iterator[Operation]:
        """Those begun at `since` (epoch seconds) or later, by a key's name, on apps by their ids; read as they are
        asked for. `limit` -1: all."""
        where = "created_at >= ?"
        chosen: list[object] = [since]
        if caller:
            where += " AND caller = ?"
            chosen.append(caller)
        if apps is not None:
            where += " AND app_id IN (SELECT value FROM json_each(?))"
            chosen.append(json.dumps(sorted(apps)))
        last = 2**62
        # Some at a time: an open query would keep the database's log from being emptied while somebody reads slowly.
        while limit and (
            rows := self.database.rows(
                f"SELECT * FROM operations WHERE {where} AND id < ? ORDER BY id DESC LIMIT ?",  # noqa: S608 - ours
                (*chosen, last, PAGE if limit < 0 else min(limit, PAGE)),
            )
        ):
            yield from map(_operation, rows)
            last = rows[-1]["id"]
            limit -= len(rows) if limit > 0 else 0

    def since(self, last: int) -> list[Operation]:
        """Those after number `last`, oldest first."""
        rows = self.database.rows("SELECT * FROM operations WHERE id > ? ORDER BY id", (last,))
        return [_operation(row) for row in rows]

    def kinds(self, apps: Collection[int] | None = None) -> list[str]:
        """The names of all changes that were ever recorded, sorted; of all apps or of some, by their ids."""
        rows = self.database.rows(
            "SELECT DISTINCT kind FROM operations WHERE ? IS NULL OR app_id IN (SELECT value FROM json_each(?))"
            " ORDER BY kind",
            (None if apps is None else 1, json.dumps(sorted(apps or ()))),
        )
        return [row["kind"] for row in rows]

    def open(self, app_id: int | None = None) -> list[Operation]:
        """Those that have not ended, oldest first; of one app or of all."""
        rows = self.database.rows(
            "SELECT * FROM operations WHERE status IN ('queued', 'running') ORDER BY id"
        )
        return [_operation(row) for row in rows if app_id is None or row["app_id"] == app_id]

    def run(self, operation_id: int) -> None:
        self.database.execute(
            "UPDATE operations SET status = 'running', started_at = ? WHERE id = ?",
            (time.time(), operation_id),
        )

    def set_release(self, operation_id: int, number: int) -> None:
        self.database.execute("UPDATE operations SET release = ? WHERE id = ?", (number, operation_id))

    def finish(self, operation_id: int, status: OperationStatus, message: str = "") -> None:
        self.database.execute(
            "UPDATE operations SET status = ?, finished_at = ?, message = ?"
            " WHERE id = ? AND status IN ('queued', 'running')",
            (status, time.time(), message, operation_id),
        )

    def commit(self, operation_id: int) -> None:
        """Inside of the transaction in which its outcome is stored: from then on it is not undone."""
        self.database.execute("UPDATE operations SET committed = 1 WHERE id = ?", (operation_id,))

    def set_steps(self, operation_id: int, steps: list[dict[str, object]]) -> None:
        """What took how long (paas.steps.in_milliseconds)."""
        text = json.dumps(steps, separators=(",", ":"))
        self.database.execute("UPDATE operations SET steps = ? WHERE id = ?", (text, operation_id))

    def log_path(self, operation_id: int) -> Path:
        return self.database.settings.operations_dir / f"{operation_id}.log"


def alive(operation: Operation) -> bool:
    """Whether the process that began the operation still exists (not just another one with its pid)."""
    return process_start(operation.pid) == operation.pid_started


def process_start(pid: int) -> str:
    """When a process started, in the kernel's clock ticks; empty if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended, whoever has not collected it yet.
    return "" if fields[0] in "ZX" else fields[19]


def _operation(row: Row) -> Operation:
    return Operation(**{name: row[name] for name in row.keys()})
