"""Every change is an operation; what a killed one left is undone by the next."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from paas.deploy.operation import AppBusy, announce, operation
from paas.deploy.recovery import INTERRUPTED
from paas.deploy.session import Session
from paas.errors import Cancelled, PaasError
from paas.model.operation import Operation
from paas.model.release import WEB, Manifest, Process, Release
from paas.router import Change
from paas.store.apps import App
from paas.store.locks import app_lock
from paas.store.operations import process_start


class FakeContainers:
    """What of the engine's containers recovery looks at: ids by the operation that made them."""

    def __init__(self, by_operation: dict[int, list[str]]) -> None:
        self.by_operation = by_operation
        self.removed: list[str] = []

    def ids(self, labels: dict[str, str]) -> list[str]:
        return self.by_operation.get(int(labels["paas.operation"]), [])

    def find(self, container_id: str) -> None:
        return None

    def remove(self, container_id: str) -> None:
        self.removed.append(container_id)


class FakeImages:
    def __init__(self, names: list[str]) -> None:
        self.tags = names
        self.untagged: list[str] = []

    def names(self) -> dict[str, str]:
        return dict.fromkeys(self.tags, "i")

    def untag(self, name: str) -> None:
        self.untagged.append(name)


class FakeRouter:
    def __init__(self) -> None:
        self.applied = 0

    def apply(self, routes: object, version: int | None = None) -> Change:
        self.applied += 1
        return Change()


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def latest(session: Session) -> Operation:
    return session.operations.recent()[0]


def log(session: Session) -> str:
    return session.operations.log_path(latest(session).id).read_text()


def printed(session: Session) -> str:
    return session.console.out.getvalue()  # type: ignore[attr-defined, no-any-return]


def lock_is_free(session: Session, app: App) -> bool:
    lock = app_lock(session.settings, app.id)
    free = lock.try_acquire()
    lock.release()
    return free


def test_what_happens_in_the_block_is_recorded_and_logged(session: Session, app: App) -> None:
    with operation(session, app, "ps:scale", "web=2") as running:
        assert session.operations.get(running.id).status == "running"
        assert not lock_is_free(session, app)
        session.console.step("Scaling")
    session.console.step("not part of it")
    record = latest(session)
    assert (record.status, record.kind, record.words, record.caller) == ("succeeded", "ps:scale", "web=2", "admin")
    assert log(session) == "-----> Scaling\n"
    assert printed(session) == "-----> Scaling\n-----> not part of it\n"
    assert lock_is_free(session, app)


@pytest.mark.parametrize(
    ("error", "status", "message", "last_line"),
    [
        (PaasError("no\nreally"), "failed", "no\nreally", " !     no\n !     really\n"),
        (Cancelled("Ctrl-C"), "cancelled", "Ctrl-C", " !     Cancelled: Ctrl-C\n"),
        (RuntimeError("s3cr3t"), "failed", "internal error: RuntimeError", ""),
    ],
    ids=["refused", "cancelled", "bug"],
)
def test_how_it_ended_is_recorded(
    session: Session, app: App, error: BaseException, status: str, message: str, last_line: str
) -> None:
    with pytest.raises(type(error)), operation(session, app, "x"):
        raise error
    record = latest(session)
    assert (record.status, record.message) == (status, message)
    assert log(session) == last_line
    assert lock_is_free(session, app)


@pytest.fixture
def holder(session: Session, app: App) -> Iterator[Operation]:
    """An operation of another process that holds the app's lock until its input ends."""
    script = (
        "import sys; from paas.store.locks import FileLock; from pathlib import Path\n"
        "lock = FileLock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True); sys.stdin.read()"
    )
    path = app_lock(session.settings, app.id)
    path.release()
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        record = session.operations.start(app, "git-push", "", session.caller)
        session.operations.run(record.id)
        session.database.execute(
            "UPDATE operations SET pid = ?, pid_started = ? WHERE id = ?",
            (process.pid, process_start(process.pid), record.id),
        )
        session.end_holder = process.stdin.close  # type: ignore[attr-defined]
        yield record
        process.stdin.close()


def test_a_busy_app_is_refused_with_who_changes_it(session: Session, app: App, holder: Operation) -> None:
    session.waits = False
    with pytest.raises(AppBusy) as caught, operation(session, app, "x"):
        pass
    assert str(caught.value).startswith(f"a is being changed by operation #{holder.id} (git-push by admin, running for ")
    assert latest(session).status == "failed" and session.operations.get(holder.id).status == "running"


def test_a_second_change_takes_its_turn_and_says_for_whom(session: Session, app: App, holder: Operation) -> None:
    def end_when_told(text: str) -> None:
        assert text.startswith(f"Waiting for operation #{holder.id} (git-push by admin")
        session.operations.finish(holder.id, "succeeded")
        session.end_holder()  # type: ignore[attr-defined]

    session.console.step = end_when_told  # type: ignore[method-assign]
    with operation(session, app, "x"):
        assert not lock_is_free(session, app)
    assert latest(session).status == "succeeded"


def leave_behind(session: Session, app: App, pid: int, release: int, image: str = "") -> Operation:
    """A deploy that was killed after it had recorded its release."""
    record = session.operations.start(app, "git-push", "", session.caller)
    session.operations.run(record.id)
    session.database.execute("UPDATE operations SET pid = ?, pid_started = '1' WHERE id = ?", (pid, record.id))
    session.releases.add(
        Release(
            app.id, release, "pending", record.id, 0, "", None, None, "i", image or session.image_tag(app, release), {},
            Manifest({WEB: None}), {},
        )
    )
    return record


def engine(session: Session, by_operation: dict[int, list[str]]) -> tuple[FakeContainers, FakeImages, FakeRouter]:
    tags = [f"{session.image_tag(app, number)}" for app in session.apps.all() for number in (1, 2)]
    containers, images, router = FakeContainers(by_operation), FakeImages([*tags, "other:1"]), FakeRouter()
    session.containers, session.images, session.router = containers, images, router  # type: ignore[assignment]
    return containers, images, router


def test_what_a_killed_deploy_began_is_undone_by_the_next_command(session: Session, app: App, dead_pid: int) -> None:
    dead = leave_behind(session, app, dead_pid, 1)
    serving = Process("s" * 64, app.id, 1, WEB, 1, "10.0.0.2", 5000)
    session.releases.set_processes(app, [serving], [])
    containers, images, router = engine(session, {dead.id: ["new", serving.container_id]})
    with operation(session, app, "x") as running:
        pass
    assert containers.removed == ["new"], "what serves is left alone"
    # That of an image that was built and got no release, too.
    assert images.untagged == [session.image_tag(app, 1), session.image_tag(app, 2)]
    assert router.applied == 2, "once before the containers go, and once for those that were started"
    ended = session.operations.get(dead.id)
    assert (ended.status, ended.message) == ("failed", INTERRUPTED)
    assert [item.status for item in session.releases.all(app)] == ["failed"]
    assert session.operations.get(running.id).status == "succeeded"


def test_a_deploy_that_was_killed_after_its_commit_counts_as_done(session: Session, app: App, dead_pid: int) -> None:
    dead = leave_behind(session, app, dead_pid, 1)
    release = session.releases.find(app.id, 1)
    assert release is not None
    serving = Process("s" * 64, app.id, 1, WEB, 1, "10.0.0.2", 5000)
    session.releases.commit(app, release, [serving], {WEB: 1}, {}, [])
    session.operations.commit(dead.id)
    containers, images, _ = engine(session, {dead.id: [serving.container_id]})
    with operation(session, app, "x"):
        pass
    assert session.operations.get(dead.id).status == "succeeded"
    assert (containers.removed, images.untagged) == ([], [session.image_tag(app, 2)])


def test_a_change_of_config_that_was_killed_leaves_its_image_to_the_release_that_serves(
    session: Session, app: App, dead_pid: int
) -> None:
    served = leave_behind(session, app, dead_pid, 1)
    session.releases.keep(session.releases.pending(app.id)[0])
    session.operations.finish(served.id, "succeeded")
    leave_behind(session, app, dead_pid, 3, image=session.image_tag(app, 1))
    _, images, _ = engine(session, {})
    with operation(session, app, "x"):
        pass
    assert images.untagged == [session.image_tag(app, 2)]
    assert [item.status for item in session.releases.all(app)] == ["failed", "succeeded"]


def test_operations_that_still_live_are_left_alone(session: Session, app: App) -> None:
    other = session.operations.start(app, "queued", "", session.caller)
    with operation(session, app, "x"):
        pass
    assert session.operations.get(other.id).status == "queued" and other.pid == os.getpid()


def test_every_deploy_ends_with_the_words_that_clients_wait_for(session: Session) -> None:
    announce(session, ["http://a.localhost:8080"])
    assert printed(session) == "=====> Application deployed:\n       http://a.localhost:8080\n"
