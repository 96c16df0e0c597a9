"""Bringing containers, router and database in step after a restart of any of them."""

from __future__ import annotations

import contextlib

from paas.deploy.network import note_address
from paas.deploy.recovery import recover
from paas.deploy.restore import bring_back, restore
from paas.deploy.session import Session
from paas.errors import PaasError
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
                missing = not bring_back(session, app)
        except PaasError as error:
            session.console.warn(f"{app.name}: {error}")
        finally:
            lock.release()
        if missing:
            with contextlib.suppress(PaasError):
                restore(session, app)
    session.reroute()


def moved(session: Session, container_id: str) -> None:
    """A container of ours was started: if it is a serving one at a new address, tell the router."""
    process = session.releases.process(container_id)
    state = session.containers.find(container_id) if process else None
    if process and state and note_address(session, process, state):
        session.reroute()
