"""What an app's config says about how it is reached: Aptible's IDLE_TIMEOUT and FORCE_SSL.

Kept as properties when a release is committed, so that computing the routes of all apps decrypts nobody's config.
"""

from __future__ import annotations

from paas.deploy.session import Session
from paas.model.names import whole_number
from paas.store.apps import App

IDLE_KEY = "IDLE_TIMEOUT"
SSL_KEY = "FORCE_SSL"
MIN_IDLE_SECONDS = 30
MAX_IDLE_SECONDS = 2400


def endpoint_options(config: dict[str, str]) -> dict[str, str]:
    """The router's properties for a config; a value out of range counts as not set."""
    idle = config.get(IDLE_KEY, "")
    valid = whole_number(idle, MIN_IDLE_SECONDS, MAX_IDLE_SECONDS) is not None
    return {
        "idle-timeout": idle if valid else "",
        "force-ssl": "true" if config.get(SSL_KEY) == "true" else "",
    }


def store_options(session: Session, app: App, config: dict[str, str]) -> None:
    """Keep what a release's config says; part of its commit."""
    if config.get(IDLE_KEY) and not endpoint_options(config)["idle-timeout"]:
        session.console.warn(
            f"{IDLE_KEY} is not a number of seconds from {MIN_IDLE_SECONDS} to {MAX_IDLE_SECONDS}: it has no effect"
        )
    for key, value in endpoint_options(config).items():
        session.properties.set(app.id, "router", key, value)
