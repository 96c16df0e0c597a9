"""After backup:restore: every app that served when the backup was made serves again."""

from __future__ import annotations

from paas.deploy.changes import roll
from paas.deploy.every_app import every_app
from paas.deploy.operation import announce, operation
from paas.deploy.pipeline import rebuild
from paas.deploy.routing.urls import urls
from paas.deploy.session import Session
from paas.store.apps import App

AT_ONCE = 4
KIND = "backup:restore"


def start_apps(session: Session) -> None:
    """Start what is to run, several apps at once. Raises SomeFailed."""
    every_app(session, session.apps.all(), KIND, _start, AT_ONCE)


def _start(session: Session, app: App) -> None:
    if not app.deployed or app.stopped:
        session.console.detail(f"{app.name} was stopped, or never deployed")
        return
    if session.images.find(session.releases.current(app).image_tag) is None:
        # The backup was made without it: it is pulled, or built from the repository.
        rebuild(session, app, KIND)
        return
    with operation(session, app, KIND) as running:
        roll(session, running.app, running, session.apps.formation(running.app), [])
        announce(session, urls(session, running.app))
