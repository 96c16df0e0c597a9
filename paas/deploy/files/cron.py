"""Scheduled tasks: which an app has, which are suspended, and one run of one of them.

A run is an operation of its own (``cron:run``, its output in the log) that waits for nobody and holds no lock: a long
one never keeps a deploy waiting. A killed run's container is removed as any killed operation's is.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass

from paas.deploy.changes import release_image
from paas.deploy.containers.background import in_background
from paas.deploy.containers.process import command_words, ensure_network, one_off_spec
from paas.deploy.orphans import remove_own
from paas.deploy.session import Session
from paas.deploy.upkeep.builds import prune_after
from paas.engine.containers import LABEL_OPERATION, LABEL_ROOT, ContainerSpec
from paas.errors import Cancelled, NotDeployed, PaasError
from paas.model.cron import RUN_KIND, CronTask
from paas.model.names import ProcessType, printable
from paas.model.operation import Operation
from paas.model.release import Release
from paas.store.apps import App
from paas.store.operations import alive

CRON = "cron"
NAMESPACE = "cron"
SUSPENDED = "maintenance."
TTL_SECONDS = 24 * 3600
# How long a run that is replaced may take for its end before it is killed.
REPLACE_SECONDS = 15


class NoSuchTask(PaasError):
    """App {app} has no cron task {id}. See the list with cron:list {app}"""


class TaskRuns(PaasError):
    """The task's last run, operation #{id}, still goes on, and its concurrency policy is forbid. Nothing was started"""


@dataclass(frozen=True)
class Scheduled:
    """A task of an app as it is now: suspended by itself (`task_off`), or with its app or all apps (`app_off`)."""

    task: CronTask
    id: str
    app: str
    task_off: bool
    app_off: bool

    @property
    def off(self) -> bool:
        return self.task_off or self.app_off

    @property
    def maintenance(self) -> str:
        """As cron:list prints it."""
        return "true (app)" if self.app_off else "true (task)" if self.task_off else "false"


def tasks(session: Session, app: App) -> list[Scheduled]:
    """The tasks of the release that serves."""
    if not app.deployed:
        return []
    stored = session.properties.all(app.id, NAMESPACE)
    app_off = session.properties.computed(app.id, NAMESPACE, "maintenance") == "true"
    return [
        Scheduled(
            task,
            task.id(app.name),
            app.name,
            stored.get(SUSPENDED + task.key, str(task.maintenance).lower()) == "true",
            app_off,
        )
        for task in session.releases.current(app).manifest.cron
    ]


def find(session: Session, app: App, task_id: str) -> Scheduled:
    """Raises NoSuchTask."""
    for item in tasks(session, app):
        if item.id == task_id:
            return item
    raise NoSuchTask(app=app.name, id=printable(task_id, 60))


def suspend(session: Session, app: App, task: CronTask, off: bool) -> None:
    """Suspend a task, or let it run again, whatever app.json says; kept through deploys and renames."""
    value = "" if off == task.maintenance else str(off).lower()
    session.properties.set(app.id, NAMESPACE, SUSPENDED + task.key, value)


def runs_now(session: Session, app: App, key: str) -> CronTask | None:
    """The task if the agent is to start it now: it still exists, and neither it nor its app is suspended or stopped."""
    if app.stopped:
        return None
    return next((item.task for item in tasks(session, app) if item.task.key == key and not item.off), None)


def run_detached(session: Session, app: App, task: CronTask, ttl_seconds: int) -> str:
    """Run a task in a process of its own; the name of its container. Raises as `run` does until it has one."""
    return in_background(session, lambda own, tell: run(own, app, task, ttl_seconds, tell))


def run(
    session: Session,
    app: App,
    task: CronTask,
    ttl_seconds: int,
    on_start: Callable[[str], None] = lambda name: None,
) -> int:
    """Run a task to its end, at most `ttl_seconds`, and return its exit code; `on_start` gets the container's name.

    Raises NotDeployed, TaskRuns, StartFailed, ImageGone.
    """
    if not app.deployed:
        raise NotDeployed(app=app.name)
    record, replaced = _begin(session, app, task)
    operations = session.operations
    try:
        with operations.log_path(record.id).open("ab") as log:
            session.console.log = log
            _replace(session, replaced)
            operations.run(record.id)
            spec = _spec(session, app, task, session.releases.current(app), record.id)

            def feed(chunk: bytes) -> None:
                log.write(chunk)
                log.flush()
                session.console.raw(chunk)

            code, expired = _run(session, spec, ttl_seconds, feed, on_start)
    except Cancelled as cancelled:
        operations.finish(record.id, "cancelled", cancelled.reason)
        raise
    except PaasError as error:
        operations.finish(record.id, "failed", str(error))
        raise
    except BaseException as error:
        operations.finish(record.id, "failed", f"internal error: {type(error).__name__}")
        raise
    finally:
        session.console.log = None
    reason = f"killed after {ttl_seconds} s" if expired else f"exit code {code}"
    operations.finish(record.id, "failed" if code else "succeeded", reason if code else "")
    if expired:
        session.console.warn(f"The task was {reason} (--ttl-seconds)")
    prune_after(session, app.id)
    return code


def _begin(session: Session, app: App, task: CronTask) -> tuple[Operation, list[Operation]]:
    """Record the run, and say which runs it replaces. Raises TaskRuns."""
    with session.database.transaction():
        going_on = [
            item
            for item in session.operations.open(app.id)
            if item.kind == RUN_KIND and item.words == task.words and alive(item)
        ]
        if going_on and task.concurrency_policy == "forbid":
            raise TaskRuns(id=going_on[-1].id)
        record = session.operations.start(app, RUN_KIND, task.words, session.caller)
    return record, going_on if task.concurrency_policy == "replace" else []


def _replace(session: Session, replaced: list[Operation]) -> None:
    """End other runs of the task: asked first, killed where that takes too long."""
    for item in replaced:
        session.console.step(f"Ending the run that is replaced, operation #{item.id}")
        session.operations.finish(item.id, "cancelled", "replaced by the next run")
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(item.pid)
            try:
                if not alive(item):
                    raise ProcessLookupError
                signal.pidfd_send_signal(process, signal.SIGTERM)
                if not select.select([process], [], [], REPLACE_SECONDS)[0]:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
            finally:
                os.close(process)
        _remove_containers(session, item)


def end_killed(session: Session) -> None:
    """For the agent: what runs left behind whose processes were killed."""
    for item in session.operations.open():
        if item.kind == RUN_KIND and not alive(item):
            _remove_containers(session, item)
            session.operations.finish(item.id, "failed", "its process was killed, its container was removed")


def _remove_containers(session: Session, run: Operation) -> None:
    labels = {LABEL_ROOT: str(session.settings.root), LABEL_OPERATION: str(run.id)}
    for container in session.containers.ids(labels):
        session.containers.remove(container)


def _spec(session: Session, app: App, task: CronTask, release: Release, operation_id: int) -> ContainerSpec:
    """The throw-away container of a run: the release's image, config and options."""
    image = release_image(session, release)
    # A task may name a process type, as `run` may.
    line = release.manifest.processes.get(ProcessType(task.command)) or task.command
    ensure_network(session, app)
    return one_off_spec(
        session,
        app,
        release,
        CRON,
        command_words(line, image, CRON),
        operation_id,
    )


def _run(
    session: Session,
    spec: ContainerSpec,
    ttl_seconds: int,
    feed: Callable[[bytes], None],
    on_start: Callable[[str], None],
) -> tuple[int, bool]:
    """The exit code, and whether the time limit ended it."""
    container = session.containers.create(spec)
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        with contextlib.suppress(PaasError):
            session.containers.kill(container)

    timer = threading.Timer(ttl_seconds, expire)
    timer.daemon = True
    try:
        timer.start()
        on_start(spec.name)
        return session.containers.run_to_end(container, spec.name, feed), expired.is_set()
    finally:
        timer.cancel()
        remove_own(session, container)
