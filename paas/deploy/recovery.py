"""Undoing what a killed operation left behind: done by the next command on the app, or by the agent at start."""

from __future__ import annotations

import shutil

from paas.deploy.accept import finish
from paas.deploy.session import Session
from paas.deploy.sources.registry_push import end_push
from paas.deploy.upkeep.agent_mail import CLEAN, tell_agent
from paas.engine.containers import LABEL_OPERATION, LABEL_ROOT
from paas.store.apps import App
from paas.store.incoming import sweep
from paas.store.operations import alive

LOAD = "git:load-image"
INTERRUPTED = "the process was killed; what it had begun was undone"


def loading_name(session: Session, operation_id: int) -> str:
    """What an image that git:load-image brings is called until it is known what it is."""
    return f"paas-{session.settings.root_id}/loading/image:{operation_id}"


def recover(session: Session, app: App, except_operation: int | None = None) -> bool:
    """End the app's dead operations and remove what they made. The caller holds the app's lock.

    Returns whether there was anything to undo.
    """
    repository = session.repository(app)
    shutil.rmtree(repository.draft, ignore_errors=True)
    sweep(repository.path)
    finish(session, app)
    dead = [
        record
        for record in session.operations.open(app.id)
        if record.id != except_operation and not alive(record)
    ]
    if not dead:
        return False
    known = {process.container_id for process in session.releases.processes(app.id)}
    known |= {item.container_id for item in session.releases.retirements(app.id)}
    # Before they go: a switch that was not committed has sent requests to them.
    session.reroute()
    for record in dead:
        labels = {LABEL_ROOT: str(session.settings.root), LABEL_OPERATION: str(record.id)}
        for container_id in session.containers.ids(labels):
            if container_id not in known:
                session.containers.remove(container_id)
        if record.kind == LOAD:
            session.images.untag(loading_name(session, record.id))
        done = bool(record.committed)
        session.operations.finish(record.id, "succeeded" if done else "failed", "" if done else INTERRUPTED)
    if not app.stopped:
        for process in session.releases.processes(app.id):
            state = session.containers.find(process.container_id)
            if state is not None and not state.running:
                session.containers.start(process.container_id, process.name)
    end_push(session, app)
    for release in session.releases.pending(app.id):
        session.releases.fail(app.id, release.number)
    _forget_images(session, app)
    session.reroute()
    tell_agent(session.settings, CLEAN)
    return True


def _forget_images(session: Session, app: App) -> None:
    """Names that a build gave and no release has. One of a change of config or a rollback has its image by the name of an
    earlier one."""
    kept = session.releases.kept_images()
    prefix = session.image_tag(app, "")
    for name in session.images.names():
        if name.startswith(prefix) and name.removeprefix(prefix).isdecimal() and name not in kept:
            session.images.untag(name)
