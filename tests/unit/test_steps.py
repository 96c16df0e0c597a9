"""Named steps: what is kept of them, across threads and across the processes of a push."""

from __future__ import annotations

import threading
import time
from contextvars import Context, copy_context

import pytest

from paas.gateway.git_transport import cut, lifeline
from paas.model.caller import Caller
from paas.steps import MAX_STEPS, Told, Took, heard, in_milliseconds, pack, recording, step, tell
from paas.store.database import Database
from paas.store.operations import Operations


def shape(parts: list[Took]) -> list[tuple[int, str]]:
    return [(item.depth, f"{item.name} {item.about}".rstrip()) for item in parts]


def test_steps_are_kept_in_order_with_their_parts() -> None:
    with recording("deploy") as whole:
        with step("build"), step("checkout"):
            pass
        with step("start", "web.1"):
            pass
    assert shape(whole.parts()) == [(0, "build"), (1, "checkout"), (0, "start web.1")]
    build, checkout, start = whole.parts()
    assert whole.began <= build.began <= checkout.began <= checkout.ended <= build.ended
    assert build.ended <= start.began <= start.ended <= whole.ended


def test_without_a_recording_nothing_is_kept() -> None:
    with step("build") as build, step("checkout"):
        pass
    assert (build.parts(), build.began) == ([], 0.0)


def test_a_step_that_fails_ends() -> None:
    with recording("deploy") as whole:
        with pytest.raises(ZeroDivisionError), step("build"):
            raise ZeroDivisionError
        with step("undo"):
            pass
    assert shape(whole.parts()) == [(0, "build"), (0, "undo")]


def test_a_thread_belongs_to_the_step_that_started_it() -> None:
    def work() -> None:
        with step("start", "web.1"):
            pass

    with recording("deploy") as whole, step("rollout"):
        for target in (copy_context().run, lambda function: function()):
            thread = threading.Thread(target=target, args=(work,))
            thread.start()
            thread.join()
    assert shape(whole.parts()) == [(0, "rollout"), (1, "start web.1")]


def test_a_recording_inside_another_is_part_of_it() -> None:
    with recording("command") as command, recording("deploy") as deploy, step("lock"):
        pass
    assert shape(command.parts()) == [(0, "deploy"), (1, "lock")]
    assert shape(deploy.parts()) == [(0, "lock")]


def test_more_than_anybody_reads_is_left_out() -> None:
    with recording("scale") as whole:
        for number in range(MAX_STEPS + 1):
            with step("start", f"web.{number}"):
                pass
    assert len(whole.parts()) == MAX_STEPS


def told() -> Told:
    """What a hook tells, in a process of its own as far as its steps go."""
    with lifeline() as (descriptor, line):
        with recording("hook") as whole, step("build"), step("checkout"):
            pass
        tell(descriptor, pack(7, whole))
        # One that is cancelled tells what it did, too.
        cut(line)
        [found] = heard(line)
    return found


def test_a_hook_tells_its_steps_to_the_command_above() -> None:
    began = time.monotonic()
    found = Context().run(told)
    receive, build, checkout, ref = parts = found.within(began)
    assert (found.number, shape(parts)) == (7, [(0, "receive"), (0, "build"), (1, "checkout"), (0, "ref")])
    assert began == receive.began <= receive.ended <= build.began <= checkout.began
    assert build.ended <= ref.began <= ref.ended <= time.monotonic()


def test_a_hook_whose_command_is_gone_goes_on() -> None:
    with recording("hook") as whole:
        pass
    with lifeline() as (descriptor, line):
        line.close()
        tell(descriptor, pack(7, whole))
        assert heard(line) == []


def test_an_operation_keeps_them(database: Database) -> None:
    operations = Operations(database)
    record = operations.start(None, "deploy", "", Caller("admin", "ssh", 7))
    assert record.steps_taken == []
    parts = [Took(0, "build", "", 100.0, 101.5), Took(1, "checkout", "", 100.25, 100.3)]
    operations.set_steps(record.id, in_milliseconds(parts, 99.5))
    assert operations.get(record.id).steps_taken == [
        {"name": "build", "about": "", "depth": 0, "start_ms": 500.0, "took_ms": 1500.0},
        {"name": "checkout", "about": "", "depth": 1, "start_ms": 750.0, "took_ms": 50.0},
    ]
