"""Builds as a view on operations, and which logs are kept."""

from __future__ import annotations

import pytest

from paas.model.build import Build, duration, flags
from paas.model.caller import Caller
from paas.model.names import AppName
from paas.model.operation import NoSuchOperation, OperationStatus
from paas.store.apps import App, Apps
from paas.store.builds import ALL, Builds
from paas.store.database import Database

CALLER = Caller("admin", "ssh", 7)


@pytest.fixture
def builds(database: Database) -> Builds:
    return Builds(database)


@pytest.fixture
def app(apps: Apps) -> App:
    return apps.create(AppName("a"))


def made(
    builds: Builds, app: App, kind: str, status: OperationStatus = "succeeded", release: int | None = None
) -> int:
    """An ended operation with a log."""
    record = builds.operations.start(app, kind, "", CALLER)
    builds.operations.run(record.id)
    if release is not None:
        builds.operations.set_release(record.id, release)
    builds.operations.finish(record.id, status)
    builds.operations.log_path(record.id).write_text(kind)
    return record.id


def kept(builds: Builds) -> list[int]:
    return sorted(int(path.stem) for path in builds.database.settings.operations_dir.iterdir())


def shown(found: list[Build]) -> list[tuple[str, str, str, int | None]]:
    return [(item.kind, item.source, item.status, item.exit_code) for item in found]


def test_what_a_build_is(builds: Builds, app: App) -> None:
    made(builds, app, "git-push", release=1)
    made(builds, app, "config:set", release=2)
    made(builds, app, "config:set")
    made(builds, app, "domains:add")
    made(builds, app, "rebuild", "failed")
    made(builds, app, "ps:restart", "cancelled")
    assert shown(builds.of(app.id, 20)) == [
        ("deploy", "ps:restart", "canceled", 130),
        ("build", "ps:rebuild", "failed", 1),
        ("deploy", "config-redeploy", "succeeded", 0),
        ("build", "git-hook", "succeeded", 0),
    ]
    assert len(builds.of(app.id, 2)) == 2


def test_one_that_runs_waits_or_was_killed(builds: Builds, app: App, apps: Apps) -> None:
    running = builds.operations.start(app, "deploy", "", CALLER)
    assert [item.display_status for item in builds.open(app.id)] == ["queued"]
    builds.operations.run(running.id)
    found = builds.open()[0]
    assert (found.status, found.display_status, found.exit_code) == ("running", "running", None)
    assert found.to_json(found.started_at + 75)["duration"] == "1m15s"
    builds.database.execute("UPDATE operations SET pid_started = 'another start' WHERE id = ?", (running.id,))
    found = builds.open()[0]
    assert (found.status, found.display_status) == ("failed", "abandoned")
    assert builds.open(apps.create(AppName("b")).id) == []


def test_a_build_is_found_in_its_own_app(builds: Builds, app: App, apps: Apps) -> None:
    number = made(builds, app, "deploy")
    other = apps.create(AppName("b"))
    found = builds.find(app.id, number)
    assert found is not None and found.id == str(number)
    assert builds.find(other.id, number) is None
    assert builds.find(app.id, made(builds, app, "domains:add")) is None


def test_flags_are_empty_without_a_build(builds: Builds, app: App) -> None:
    assert set(flags(None).values()) == {""}
    made(builds, app, "deploy")
    found = flags(builds.of(app.id, 1)[0])
    assert found.keys() == flags(None).keys()
    assert (found["--build-status"], found["--build-exit-code"]) == ("succeeded", "0")


def test_logs_beyond_the_retention_go_and_records_stay(builds: Builds, app: App, apps: Apps) -> None:
    other = made(builds, apps.create(AppName("b")), "deploy")
    deploys = [made(builds, app, "deploy", release=1) for _ in range(4)]
    changes = [made(builds, app, "ps:stop") for _ in range(4)]
    runs = [made(builds, app, "cron:run") for _ in range(4)]
    running = builds.operations.start(app, "deploy", "", CALLER)
    builds.operations.log_path(running.id).touch()
    assert builds.prune(app.id, 2) == 6
    assert kept(builds) == [other, *deploys[2:], *changes[2:], *runs[2:], running.id]
    assert [builds.operations.get(number).status for number in deploys] == ["succeeded"] * 4
    # Runs of tasks change nothing and are many: they are forgotten.
    with pytest.raises(NoSuchOperation):
        builds.operations.get(runs[0])
    assert builds.prune(app.id, 2) == 0


def test_each_end_looks_at_few_operations_and_prune_at_all(builds: Builds, app: App) -> None:
    numbers = [made(builds, app, "deploy") for _ in range(6)]
    assert builds.prune(app.id, 1, window=2) == 2
    assert kept(builds) == [*numbers[:3], numbers[5]]
    assert builds.prune(app.id, 1, ALL) == 3


def test_logs_of_apps_that_are_gone(builds: Builds, app: App, apps: Apps) -> None:
    gone = made(builds, app, "deploy")
    stays = made(builds, apps.create(AppName("b")), "deploy")
    apps.delete(app)
    assert builds.prune_gone() == 1
    assert kept(builds) == [stays]
    assert builds.operations.get(gone).app_name == "a"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0s"), (59.6, "1m0s"), (3723, "1h2m3s"), (3600, "1h0m0s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
