"""After the switch: old containers drain, get SIGTERM, then go; old releases' images go with them."""

from __future__ import annotations

import time
from functools import partial

from paas.deploy.session import Session
from paas.errors import PaasError
from paas.steps import step
from paas.store.apps import App
from paas.store.releases import Retirement

DRAIN_POLL_SECONDS = 0.2


def drain_seconds(session: Session, app: App) -> int:
    """How long requests in flight may take after the switch (checks:set wait-to-retire)."""
    return int(session.properties.computed(app.id, "checks", "wait-to-retire"))


def retire(session: Session, item: Retirement) -> bool:
    """Stop and remove a container if it is drained or due. Returns whether it is gone."""
    if time.time() < item.due_at and not session.router.drained(item.slot, item.server):
        return False
    # First it is told, so that it can say goodbye on websockets and event streams and close them itself. It gets no
    # new requests since the switch; the router cuts only what is left after the grace period.
    with step("retire"):
        session.containers.stop(item.container_id)
        session.router.remove(item.slot, item.server)
        session.containers.remove(item.container_id)
        session.releases.retired(item.container_id)
    return True


def retire_due(session: Session, app: App) -> None:
    """Retire what is drained or due by now, and forget releases beyond those that are kept."""
    for item in session.releases.retirements(app.id):
        retire(session, item)
    prune_releases(session, app)


def retire_now(session: Session, app: App) -> None:
    """Retire in this process, for when no agent runs to do it."""
    while waiting := session.releases.retirements(app.id):
        if not all(list(map(partial(retire, session), waiting))):
            time.sleep(DRAIN_POLL_SECONDS)


def prune_releases(session: Session, app: App) -> None:
    """Forget all but the newest successful releases (releases:set retention), and the names that kept their images."""
    releases = session.releases.all(app)
    count = int(session.properties.computed(app.id, "releases", "retention"))
    kept = [item for item in releases if item.status == "succeeded"][:count]
    numbers = {item.number for item in kept} | {app.current_release}
    tags = {item.image_tag for item in releases if item.number in numbers or item.status == "pending"}
    for release in releases:
        if release.number in numbers or release.status == "pending":
            continue
        if release.image_tag not in tags:
            try:
                session.images.untag(release.image_tag)
            except PaasError:
                continue
        session.releases.forget(app.id, release.number)
