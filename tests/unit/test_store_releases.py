"""Releases: numbered, committed at once, rolled back to."""

from __future__ import annotations

import dataclasses

import pytest

from paas.errors import NotDeployed
from paas.model.names import AppName, ProcessType
from paas.model.release import WEB, Manifest, Process, Release
from paas.store.apps import App, Apps
from paas.store.config import Config
from paas.store.database import Database, DatabaseFailed
from paas.store.releases import NoSuchRelease, Releases, Retirement

WORKER = ProcessType("worker")


@pytest.fixture
def releases(database: Database) -> Releases:
    return Releases(database)


@pytest.fixture
def app(apps: Apps) -> App:
    return apps.create(AppName("a"))


def release(app: App, number: int, **changes: object) -> Release:
    made = Release(
        app_id=app.id,
        number=number,
        status="pending",
        operation_id=number,
        created_at=1_700_000_000,
        description=f"Deploy {number}",
        commit=None,
        image_name="nginx:1",
        image_id="sha256:" + "0" * 64,
        image_tag=f"paas-x/a:{number}",
        config={"K": str(number)},
        manifest=Manifest({WEB: None}),
        formation={WEB: 1},
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def process(app: App, number: int, kind: ProcessType = WEB, letter: str = "a") -> Process:
    return Process(letter * 64, app.id, 1, kind, number, "10.0.0.2", 5000)


def succeed(releases: Releases, app: App, number: int) -> None:
    item = release(app, number)
    releases.add(item)
    releases.commit(app, item, [], {WEB: 1}, item.config, [])


def test_a_release_comes_back_as_it_was_recorded(releases: Releases, app: App) -> None:
    item = release(app, 1, commit="c" * 40, formation={WEB: 2, WORKER: 0}, manifest=Manifest({WORKER: "x"}, 80))
    releases.add(item)
    assert releases.find(app.id, 1) == item
    assert releases.pending(app.id) == [item] == releases.all(app)
    assert item.label == "r1"


def test_an_app_without_a_current_release_is_not_deployed(releases: Releases, app: App) -> None:
    releases.add(release(app, 1))
    with pytest.raises(NotDeployed):
        releases.current(app)


def test_committing_makes_everything_current_at_once(
    releases: Releases, app: App, apps: Apps, database: Database
) -> None:
    apps.set_stopped(app, True)
    item = release(app, 1)
    releases.add(item)
    serving = [process(app, 1), process(app, 1, WORKER, "b")]
    retired = [Retirement("c" * 64, app.id, app.slot, "web.1.c", 123)]
    releases.commit(app, item, serving, {WEB: 1, WORKER: 1}, {"NEW": "v"}, retired)
    now = apps.get("a")
    assert (now.current_release, now.stopped) == (1, False)
    assert releases.current(now).status == "succeeded"
    assert releases.processes(app.id) == serving
    assert apps.formation(app) == {WEB: 1, WORKER: 1}
    assert Config(database, app.id).all() == {"NEW": "v"}
    assert releases.retirements(app.id) == releases.retirements() == retired


def test_a_commit_that_fails_half_way_changes_nothing(
    releases: Releases, app: App, apps: Apps, database: Database
) -> None:
    succeed(releases, app, 1)
    before = apps.get("a")
    item = release(app, 2)
    releases.add(item)
    database.execute(f"PRAGMA max_page_count = {database.rows('PRAGMA page_count')[0][0]}")
    with pytest.raises(DatabaseFailed):
        releases.commit(before, item, [process(app, 1)], {WORKER: 9}, {"K": "x" * 1_000_000}, [])
    assert apps.get("a") == before
    assert apps.formation(app) == {WEB: 1}
    assert releases.processes(app.id) == []
    assert Config(database, app.id).all() == {"K": "1"}
    assert [entry.number for entry in releases.pending(app.id)] == [2]


def test_numbers_go_up_also_after_failures(releases: Releases, app: App) -> None:
    assert releases.next_number(app) == 1
    succeed(releases, app, 1)
    releases.add(release(app, 2))
    releases.fail(app.id, 2)
    assert releases.next_number(app) == 3
    assert [item.status for item in releases.all(app)] == ["failed", "succeeded"]


def test_only_a_pending_release_can_fail(releases: Releases, app: App) -> None:
    succeed(releases, app, 1)
    releases.fail(app.id, 1)
    assert [item.status for item in releases.all(app)] == ["succeeded"]


def test_going_back(releases: Releases, app: App, apps: Apps) -> None:
    succeed(releases, app, 1)
    releases.add(release(app, 2))
    releases.fail(app.id, 2)
    succeed(releases, app, 3)
    now = apps.get("a")
    assert releases.to_roll_back_to(now, None).number == 1
    assert releases.to_roll_back_to(now, 3).number == 3
    for number in (2, 4, 10**8):
        with pytest.raises(NoSuchRelease, match=f"r{number}"):
            releases.to_roll_back_to(now, number)


def test_there_is_nothing_before_the_first_release(releases: Releases, app: App, apps: Apps) -> None:
    succeed(releases, app, 1)
    with pytest.raises(NoSuchRelease, match="before the current one"):
        releases.to_roll_back_to(apps.get("a"), None)


def test_processes_are_sorted_by_type_and_number(releases: Releases, app: App) -> None:
    items = [process(app, 10, WEB, "a"), process(app, 2, WEB, "b"), process(app, 1, ProcessType("clock"), "c")]
    releases.set_processes(app, items, [])
    assert [item.name for item in releases.processes(app.id)] == ["clock.1", "web.2", "web.10"]


def test_retirements_come_soonest_first_and_end(releases: Releases, app: App) -> None:
    late, soon = (Retirement(letter * 64, app.id, 1, letter, due) for letter, due in (("a", 9), ("b", 5)))
    releases.set_processes(app, [], [late, soon])
    assert releases.retirements() == [soon, late]
    releases.retired(soon.container_id)
    assert releases.retirements() == [late]


def test_a_forgotten_release_is_gone(releases: Releases, app: App) -> None:
    succeed(releases, app, 1)
    releases.forget(app.id, 1)
    assert releases.all(app) == []
