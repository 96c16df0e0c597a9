"""Bringing containers, router and database in step after a restart of any of them."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from paas.deploy.changes import restore
from paas.deploy.recovery import recover
from paas.deploy.routes import LOOPBACK
from paas.deploy.session import Session
from paas.engine.containers import ContainerState
from paas.errors import PaasError
from paas.model.release import Process
from paas.store.apps import App
from paas.store.locks import app_lock


def reconcile(session: Session) -> None:
    """Undo what killed operations left, start what should run, and tell the router where it is."""
    for app in session.apps.all():
        lock = app_lock(session.settings, app.id)
        missing = False
        try:
            # Somebody who works on the app keeps it in step himself.
            if lock.try_acquire():
                recover(session, app)
                missing = not _bring_back(session, app)
        except PaasError as error:
            session.console.warn(f"{app.name}: {error}")
        finally:
            lock.release()
        if missing:
            with contextlib.suppress(PaasError):
                restore(session, app)
    session.reroute()


def _bring_back(session: Session, app: App) -> bool:
    """Start the app's stopped containers and note their addresses. False when some are gone for good."""
    if app.stopped:
        return True
    complete = True
    for process in session.releases.processes(app.id):
        state = session.containers.find(process.container_id)
        if state and not state.running and state.status != "restarting":
            with contextlib.suppress(PaasError):
                session.containers.start(process.container_id, process.name)
                state = session.containers.find(process.container_id)
        if state is None:
            complete = False
        else:
            note_address(session, process, state)
    return complete


def note_address(session: Session, process: Process, state: ContainerState) -> bool:
    """Write down where a container is now. Returns whether that is news."""
    found = process
    if state.published_port is not None and process.address == LOOPBACK:
        found = replace(process, address=LOOPBACK, port=state.published_port)
    elif state.address:
        found = replace(process, address=state.address)
    if found == process:
        return False
    session.releases.move_process(found.container_id, found.address, found.port)
    return True


def moved(session: Session, container_id: str) -> None:
    """A container of ours was started: if it is a serving one at a new address, tell the router."""
    process = session.releases.process(container_id)
    state = session.containers.find(container_id) if process else None
    if process and state and note_address(session, process, state):
        session.reroute()
