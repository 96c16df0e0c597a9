"""An app's builds: their output, cancelling the one that runs, and forgetting old logs."""

from __future__ import annotations

import contextlib

from paas import interrupts
from paas.deploy.session import Session
from paas.deploy.upkeep import follow as following
from paas.errors import PaasError
from paas.model.build import Build
from paas.model.names import printable, whole_number
from paas.store.apps import App
from paas.store.builds import ALL, Builds

CURRENT = "current"


class NoSuchBuild(PaasError):
    """App {app} has no build {id}. See the list with builds:list {app}"""


class NoBuilds(PaasError):
    """No builds recorded for {app}"""


class NothingBuilds(PaasError):
    """No build of {app} is running. See the list with builds:list {app}"""


class OutputGone(PaasError):
    """The output of build {id} is not kept any more. builds:set {app} retention says for how many builds it is"""


def retention(session: Session, app_id: int) -> int:
    """For how many builds, and how many other changes, logs are kept."""
    return int(session.properties.computed(app_id, "builds", "retention"))


def builds(session: Session, app: App) -> list[Build]:
    """Those within the retention, newest first."""
    return Builds(session.database).of(app.id, retention(session, app.id))


def find(session: Session, app: App, build_id: str) -> Build:
    """By its id, which may be ``current``; the newest without one. Raises NoSuchBuild or NothingBuilds."""
    if build_id == CURRENT:
        return running(session, app)
    if not build_id:
        newest = Builds(session.database).of(app.id, 1)
        if not newest:
            raise NoBuilds(app=app.name)
        return newest[0]
    number = whole_number(build_id, 1, 2**62)
    found = Builds(session.database).find(app.id, number) if number is not None else None
    if found is None:
        raise NoSuchBuild(app=app.name, id=printable(build_id))
    return found


def running(session: Session, app: App) -> Build:
    """The build that runs, or that comes next. Raises NothingBuilds."""
    alive = [build for build in Builds(session.database).open(app.id) if build.status == "running"]
    if not alive:
        raise NothingBuilds(app=app.name)
    return next((build for build in alive if build.display_status == "running"), alive[-1])


def output(session: Session, app: App, build_id: str) -> None:
    """Print what a build says: of one that runs, until it ends. Raises as `find` does, and OutputGone."""
    build = find(session, app, build_id)
    record = session.operations.get(int(build.id))
    if record.open and build.status == "running":
        following.follow(session, record)
        return
    try:
        text = session.operations.log_path(record.id).read_bytes()
    except FileNotFoundError:
        raise OutputGone(id=build.id, app=app.name) from None
    session.console.raw(text)


def cancel(session: Session, app: App) -> None:
    """Ask the build that runs to stop; says so when there is none."""
    try:
        build = running(session, app)
    except NothingBuilds as error:
        session.console.warn(str(error))
        return
    following.cancel(session, session.operations.get(int(build.id)))


def prune(session: Session, app: App) -> int:
    """Remove all logs beyond the retention. Returns how many."""
    return Builds(session.database).prune(app.id, retention(session, app.id), ALL)


def prune_after(session: Session, app_id: int) -> None:
    """At an operation's end: remove the logs that it pushed out. That this fails is no reason for it to."""
    with interrupts.shielded(), contextlib.suppress(PaasError):
        Builds(session.database).prune(app_id, retention(session, app_id))
