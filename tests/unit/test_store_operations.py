"""The record of operations: how each ends, and whether its process still lives."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from paas.model.caller import Caller
from paas.model.names import AppName
from paas.model.operation import NoSuchOperation, Operation
from paas.store.apps import App, Apps
from paas.store.database import Database
from paas.store.operations import Operations, alive, process_start

CALLER = Caller("admin", "ssh", 7)


@pytest.fixture
def operations(database: Database) -> Operations:
    return Operations(database)


@pytest.fixture
def app(apps: Apps) -> App:
    return apps.create(AppName("a"))


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def test_a_new_operation_is_queued_by_this_process(operations: Operations, app: App) -> None:
    record = operations.start(app, "ps:scale", "web=2", CALLER)
    assert (record.status, record.app_name, record.kind, record.words) == ("queued", "a", "ps:scale", "web=2")
    assert (record.caller, record.door, record.pid) == ("admin", "ssh", os.getpid())
    assert record.open and alive(record) and record.started_at is None and record.finished_at is None


def test_an_operation_runs_and_ends_once(operations: Operations, app: App) -> None:
    record = operations.start(app, "x", "", CALLER)
    operations.run(record.id)
    assert operations.get(record.id).status == "running"
    operations.set_release(record.id, 3)
    operations.finish(record.id, "failed", "why")
    operations.finish(record.id, "succeeded")
    ended = operations.get(record.id)
    assert (ended.status, ended.message, ended.release, ended.open) == ("failed", "why", 3, False)
    assert ended.created_at <= (ended.started_at or 0) <= (ended.finished_at or 0)


def test_open_operations_come_oldest_first(operations: Operations, app: App, apps: Apps) -> None:
    other = apps.create(AppName("b"))
    first, second, third = (operations.start(item, "x", "", CALLER) for item in (app, other, app))
    operations.finish(operations.start(app, "x", "", CALLER).id, "cancelled")
    assert [record.id for record in operations.open()] == [first.id, second.id, third.id]
    assert [record.id for record in operations.open(app.id)] == [first.id, third.id]


def test_recent_operations_come_newest_first(operations: Operations, app: App) -> None:
    ids = [operations.start(item, "x", "", CALLER).id for item in (app, None, app)]
    assert [record.id for record in operations.recent()] == ids[::-1]
    assert [record.id for record in operations.recent(app)] == [ids[2], ids[0]]
    assert [record.id for record in operations.recent(limit=1)] == [ids[2]]


def test_the_record_outlives_its_app(operations: Operations, app: App, apps: Apps) -> None:
    record = operations.start(app, "apps:destroy", "", CALLER)
    apps.delete(app)
    assert operations.get(record.id).app_name == "a"


def test_an_operation_that_does_not_exist(operations: Operations) -> None:
    with pytest.raises(NoSuchOperation, match="#99 not found"):
        operations.get(99)


def by(record: Operation, pid: int, started: str) -> Operation:
    return dataclasses.replace(record, pid=pid, pid_started=started)


def test_a_killed_process_is_dead_even_before_its_parent_looks(
    operations: Operations, app: App, sleeper: subprocess.Popen[bytes]
) -> None:
    record = by(operations.start(app, "x", "", CALLER), sleeper.pid, process_start(sleeper.pid))
    assert alive(record)
    sleeper.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    assert not alive(record)
    sleeper.wait()
    assert not alive(record)


def test_another_process_with_the_same_number_is_not_it(
    operations: Operations, app: App, sleeper: subprocess.Popen[bytes]
) -> None:
    record = operations.start(app, "x", "", CALLER)
    assert not alive(by(record, sleeper.pid, "1"))


def test_a_process_name_with_brackets_and_spaces_is_read_right(tmp_path: object) -> None:
    script = "exec -a 'x) R 1 (y' sleep 1000"
    with subprocess.Popen(["bash", "-c", script]) as process:
        try:
            assert process_start(process.pid).isdigit()
            assert int(process_start(process.pid)) >= int(process_start(os.getpid()))
        finally:
            process.kill()
