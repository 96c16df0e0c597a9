"""Bringing an app's processes back after the engine or the machine was restarted."""

from __future__ import annotations

import contextlib

from paas.deploy.changes import roll
from paas.deploy.containers.network import note_state
from paas.deploy.operation import operation
from paas.deploy.session import Session
from paas.errors import PaasError
from paas.store.apps import App


def wanted(session: Session, app: App) -> bool:
    """Whether the app is to run: not after ps:stop, nor at boot after ps:set restore false."""
    return app.deployed and not app.stopped and session.properties.computed(app.id, "ps", "restore") == "true"


def bring_back(session: Session, app: App) -> bool:
    """Start the app's stopped containers, if it is to run, and note where all of them are. False when some are gone
    for good. The caller holds the app's lock."""
    complete = True
    start = wanted(session, app)
    for process in session.releases.processes(app.id):
        state = session.containers.find(process.container_id)
        if start and state and not state.running and state.status != "restarting":
            with contextlib.suppress(PaasError):
                session.containers.start(process.container_id, process.name)
                state = session.containers.find(process.container_id)
        note_state(session, process, state)
        complete = complete and (state is not None or not start)
    return complete


def restore(session: Session, app: App, kind: str = "restore") -> None:
    """Start what has stopped, and make anew what is gone."""
    with operation(session, app, kind) as running:
        app = running.app
        if bring_back(session, app):
            session.reroute()
            return
        there = [
            item
            for item in session.releases.processes(app.id)
            if session.containers.find(item.container_id) is not None
        ]
        roll(session, app, running, session.apps.formation(app), there)
