"""What is kept between builds: the builder's layers and mounted caches, and what it has seen of an app's files.

Layers are the engine's and shared, as those of equal steps are equal. The caches that a Dockerfile mounts belong to one
app: under a name of its own, so that no other app can put anything into them.
"""

from __future__ import annotations

import contextlib
import time

from paas.deploy.session import Session
from paas.deploy.sources.space import least
from paas.store.apps import App
from paas.store.properties import GLOBAL

NAMESPACE, GENERATION, PURGED = "build", "cache-generation", "cache-purged"
TRIMMED = "build-cache-trimmed"
TRIM_SECONDS = 3600


def cache_name(session: Session, app: App) -> str:
    """The name of the app's own caches; repo:purge-cache begins another one."""
    generation = session.properties.get(app.id, NAMESPACE, GENERATION) or "1"
    return f"paas-{session.settings.root_id}-{app.id}-{generation}"


def purge(session: Session, app: App) -> None:
    """Let the app's next build begin with nothing."""
    generation = int(session.properties.get(app.id, NAMESPACE, GENERATION) or "1")
    session.properties.set(app.id, NAMESPACE, GENERATION, str(generation + 1))
    session.properties.set(app.id, NAMESPACE, PURGED, "true")


def cache_is_purged(session: Session, app: App, forget: bool = False) -> bool:
    """Whether no build has ended well since the caches were purged."""
    purged = bool(session.properties.get(app.id, NAMESPACE, PURGED))
    if purged and forget:
        session.properties.set(app.id, NAMESPACE, PURGED, "")
    return purged


def trim(session: Session) -> int:
    """Remove what the builder has not used for longest, until no more is left than disk:set build-cache allows; how
    many bytes that freed. Images stay. Raises EngineUnavailable, EngineFailed."""
    limit = session.properties.computed(GLOBAL, "disk", "build-cache")
    return 0 if limit == "off" else session.images.trim_build_cache(least(limit, 0))


def trim_now_and_then(session: Session) -> None:
    """The same, but not so soon after the last time: the builder has to add up all that it keeps."""
    mark = session.settings.run_dir / TRIMMED
    with contextlib.suppress(FileNotFoundError):
        if time.time() - mark.stat().st_mtime < TRIM_SECONDS:
            return
    mark.touch()
    trim(session)
