"""Where an app is to be found."""

from __future__ import annotations

from paas.deploy.session import Session
from paas.model.release import WEB
from paas.store.apps import App

HTTP_PORT = 80


def urls(session: Session, app: App) -> list[str]:
    """The app's URLs, sorted; where no router runs, the loopback ports of its web processes."""
    if session.router.publishes_ports:
        web = [item for item in session.releases.processes(app.id) if item.process_type == WEB]
        return sorted(f"http://{item.address}:{item.port}" for item in web)
    port = session.settings.http_listen.port
    suffix = "" if port == HTTP_PORT else f":{port}"
    return sorted(f"http://{domain}{suffix}" for domain in session.apps.domains(app))
