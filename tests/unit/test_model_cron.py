"""app.json's cron: what is taken, what is refused with which words, ids, and when a task comes next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.errors import PaasError
from paas.model.cron import CronTask, late, next_due, parse_cron, schedule_error
from paas.model.release import WEB, Manifest

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo | Any = UTC, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def due(schedule: str, after: str, zone: ZoneInfo | Any = UTC, fold: int = 0) -> str:
    moment = next_due(schedule, at(after, zone, fold), zone)
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")


def test_an_id_is_what_dokku_prints() -> None:
    # As observed with Dokku 0.38 for an app aj1.
    assert CronTask("echo hi", "0 5 * * *").id("aj1") == "4fnp83oi1mk1f4wmswejmrlofhkabymyct66cru"


def test_a_task_is_known_by_another_name_than_its_apps() -> None:
    task = CronTask("echo hi", "0 5 * * *")
    assert task.id("a") != task.id("b")
    assert task.key == CronTask("echo hi", "0 5 * * *", True, "forbid").key


def test_a_list_of_tasks() -> None:
    given = [
        {"command": "echo hi", "schedule": "0 5 * * *"},
        {"command": "a b", "schedule": "@daily", "maintenance": True, "concurrency_policy": "replace"},
        {"command": "echo hi", "schedule": "0 5 * * *", "concurrency_policy": "forbid"},
    ]
    assert parse_cron(given, "app") == (
        CronTask("echo hi", "0 5 * * *"),
        CronTask("a b", "@daily", True, "replace"),
    )
    assert parse_cron(None, "app") == parse_cron([], "app") == ()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"schedule": "@daily"}, "Missing cron task command for app web (index 1)"),
        ({"command": "x"}, "Missing cron schedule for app web (index 1)"),
        (
            {"command": "x", "schedule": "60 * * * *"},
            "Invalid cron schedule for app web (schedule 60 * * * *): Bad minute",
        ),
        (
            {"command": "x", "schedule": "0 * * * * *"},
            "Invalid cron schedule for app web (schedule 0 * * * * *): expected 5 fields"
            " (minute hour day month weekday), found 6",
        ),
        (
            {"command": "x", "schedule": "@reboot"},
            "Invalid cron schedule for app web (schedule @reboot): expected one of"
            " @hourly @daily @midnight @weekly @monthly @yearly @annually",
        ),
        ({"command": "x", "schedule": 5}, "Invalid cron schedule for app web (schedule 5): expected a text"),
        (
            {"command": "a\nb", "schedule": "@daily"},
            "Invalid cron command for app web (index 1): expected one line of text",
        ),
        (
            {"command": "x", "schedule": "@daily", "concurrency_policy": "queue"},
            "Invalid cron concurrency policy for app web (index 1): queue, valid policies are allow, forbid, replace",
        ),
        (
            {"command": "x", "schedule": "@daily", "maintenance": "no"},
            "Invalid cron section for app web: maintenance of task 1 has to be true or false",
        ),
        ("x", "Invalid cron section for app web: task 1 is not an object"),
    ],
)
def test_what_is_refused(item: object, message: str) -> None:
    with pytest.raises(PaasError) as refused:
        parse_cron([{"command": "fine", "schedule": "@hourly"}, item], "web")
    assert str(refused.value) == message


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_anything_else_is_refused_as_well(data: Any) -> None:
    if data:
        with pytest.raises(PaasError):
            parse_cron(data, "web")


@given(st.text(alphabet="0123456789*/,-#L@ MONdaily", max_size=30))
def test_a_schedule_that_is_taken_has_a_next_time(schedule: str) -> None:
    if not schedule_error(schedule):
        now = at("2026-11-21 06:00")
        assert next_due(schedule, now, UTC) > now


def test_a_schedule_of_many_digits_or_slashes_is_refused() -> None:
    assert schedule_error("9" * 5000 + " * * * *")
    assert schedule_error("1" + "/1" * 5000 + " * * * *")
    assert schedule_error("0 0 31 2 *")


@pytest.mark.parametrize(
    ("schedule", "after", "then"),
    [
        ("* * * * *", "2026-11-21 06:00:00", "2026-11-21 06:01"),
        ("* * * * *", "2026-11-21 06:00:59", "2026-11-21 06:01"),
        ("*/15 9-17 * * MON-FRI", "2026-11-20 17:46", "2026-11-23 09:00"),
        ("@hourly", "2026-11-21 06:00", "2026-11-21 07:00"),
        ("@weekly", "2026-11-21 06:00", "2026-11-22 00:00"),
        ("@yearly", "2026-11-21 06:00", "2027-01-01 00:00"),
        ("0 0 29 2 *", "2026-11-21 06:00", "2028-02-29 00:00"),
    ],
)
def test_when_a_task_comes_next(schedule: str, after: str, then: str) -> None:
    assert due(schedule, after) == then


def test_schedules_are_read_in_the_hosts_zone() -> None:
    assert due("0 5 * * *", "2026-07-01 04:00", BERLIN) == "2026-07-01 03:00"
    assert due("0 5 * * *", "2026-12-01 04:00", BERLIN) == "2026-12-01 04:00"


def test_a_time_that_the_clock_skips_or_shows_twice_comes_once() -> None:
    # 2026-03-29 02:00 becomes 03:00; 2026-10-25 03:00 becomes 02:00 again.
    assert due("30 2 * * *", "2026-03-29 01:00", BERLIN) == "2026-03-29 01:00"
    assert due("30 2 * * *", "2026-10-25 01:00", BERLIN) == "2026-10-25 00:30"
    assert due("30 2 * * *", "2026-10-25 02:30", BERLIN) == "2026-10-26 01:30"
    assert due("30 2 * * *", "2026-10-25 02:10", BERLIN, fold=1) == "2026-10-26 01:30"
    assert due("*/20 * * * *", "2026-10-25 02:40", BERLIN) == "2026-10-25 01:00"


def test_only_what_was_missed_by_little_is_made_up_for() -> None:
    assert not late(1000.0, 1000.0)
    assert not late(1000.0, 1200.0)
    assert late(1000.0, 2000.0)


def test_a_release_keeps_its_tasks_and_an_older_one_has_none() -> None:
    tasks = (CronTask("a b", "@daily", True, "replace"),)
    stored = Manifest({WEB: None}, cron=tasks).to_json()
    assert Manifest.from_json(stored).cron == tasks
    older = Manifest({WEB: None}).to_json().replace(', "cron": []', "")
    assert "cron" not in older
    assert Manifest.from_json(older).cron == ()
