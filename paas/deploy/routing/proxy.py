"""proxy:*: whether the router leads to an app at all, and by which port where none is mapped."""

from __future__ import annotations

from paas.deploy.routing.reroute import rerouted
from paas.deploy.session import Session
from paas.store.apps import App

NAMESPACE = "proxy"


def enabled(session: Session, app: App) -> bool:
    return session.properties.get(app.id, NAMESPACE, "disabled") != "true"


def switch(session: Session, app: App, on: bool) -> None:
    """On or off; counts at once. Processes that start while it is off are published on loopback ports of the host."""
    with rerouted(session):
        session.properties.set(app.id, NAMESPACE, "disabled", "" if on else "true")


def set_property(session: Session, app_id: int, key: str, value: str) -> None:
    """Store a property that was checked; a changed port counts at once."""
    with rerouted(session):
        session.properties.set(app_id, NAMESPACE, key, value)
