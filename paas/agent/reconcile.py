"""Bringing containers, router and database in step after a restart of any of them."""

from __future__ import annotations

import contextlib

from paas.deploy.containers.network import as_it_is
from paas.deploy.recovery import recover
from paas.deploy.restore import bring_back, restore
from paas.deploy.session import Session
from paas.deploy.switch import switch
from paas.errors import EngineUnavailable, PaasError
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
        except EngineUnavailable:
            # The others need it as well. Nobody's lock is held while it is waited for again and again.
            raise
        except PaasError as error:
            session.console.warn(f"{app.name}: {error}")
        finally:
            lock.release()
        if missing:
            with contextlib.suppress(PaasError):
                restore(session, app)
    session.reroute()


def note(session: Session, container_id: str) -> None:
    """A container of ours was started or ended: if it is a serving one, tell the router whether and where it is."""
    if session.releases.process(container_id) is None:
        return
    state = session.containers.find(container_id)
    with session.routing():
        # As it is recorded now: a rollout may have replaced it meanwhile.
        process = session.releases.process(container_id)
        app = session.apps.by_id(process.app_id) if process else None
        if process is None or app is None:
            return
        found = as_it_is(process, state)
        if found != process:
            serving = session.releases.processes(app.id)
            serving = [found if item.container_id == container_id else item for item in serving]
            switch(session, app, serving, lambda: session.releases.move_process(found))
