"""What an app's config says about how it is reached: Aptible's IDLE_TIMEOUT, FORCE_SSL and MAINTENANCE_PAGE_URL.

Kept as properties when a release is committed, so that computing the routes of all apps decrypts nobody's config.
"""

from __future__ import annotations

from paas.deploy.session import Session
from paas.deploy.sources.archive import ArchiveTooLarge
from paas.deploy.sources.fetch import archive_url, spooled
from paas.errors import PaasError
from paas.model.names import whole_number
from paas.router.routes import PAGE_BYTES
from paas.store.apps import App

IDLE_KEY = "IDLE_TIMEOUT"
SSL_KEY = "FORCE_SSL"
PAGE_KEY = "MAINTENANCE_PAGE_URL"
PAGE = "page"
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


def own_page(session: Session, app: App, config: dict[str, str]) -> str:
    """The page that a release's config names, fetched; empty where it names none. What can't be had, or is larger than
    PAGE_BYTES, leaves the page of before, with a warning."""
    if not config.get(PAGE_KEY):
        return ""
    try:
        with spooled(session, archive_url(config[PAGE_KEY]), PAGE_BYTES, public_only=True) as file:
            return file.read().decode()
    except ArchiveTooLarge:
        reason = f"it has more than {PAGE_BYTES} bytes"
    except UnicodeDecodeError:
        reason = "it is no text in UTF-8"
    except PaasError as error:
        reason = str(error).replace(". Nothing was read. ", ". ").partition(". Nothing")[0]
    session.console.warn(f"The page of {PAGE_KEY} was not taken ({reason}); the one of before stays")
    return session.properties.get(app.id, "router", PAGE)


def store_options(session: Session, app: App, config: dict[str, str], page: str) -> None:
    """Keep what a release's config says, and its `page`; part of its commit."""
    session.properties.set(app.id, "router", PAGE, page)
    if config.get(IDLE_KEY) and not endpoint_options(config)["idle-timeout"]:
        session.console.warn(
            f"{IDLE_KEY} is not a number of seconds from {MIN_IDLE_SECONDS} to {MAX_IDLE_SECONDS}: it has no effect"
        )
    for key, value in endpoint_options(config).items():
        session.properties.set(app.id, "router", key, value)
