"""Where what serves came from, in Dokku's words: (deploy-source, deploy-source-metadata) of apps:report.

It is read from the operation that made the current release's image, so that a rollback brings it back too. What
apps:set says instead counts until the next deploy.
"""

from __future__ import annotations

from paas.deploy.session import Session
from paas.deploy.sources.registry import IMAGE_KEY
from paas.model.operation import Operation
from paas.model.release import Release
from paas.store.apps import App

KEYS = ("deploy-source", "deploy-source-metadata")

_IMAGE = "docker-image"
_KINDS = ("git:from-image", "git:load-image", "git:from-archive", "git:sync", "git-push", "deploy")


def deploy_source(session: Session, app: App) -> tuple[str, str]:
    """Both empty for an app that was never deployed."""
    told = (session.properties.get(app.id, "app", KEYS[0]), session.properties.get(app.id, "app", KEYS[1]))
    if any(told):
        return told
    current = session.releases.find(app.id, app.current_release)
    if current is None:
        return "", ""
    if current.config.get(IMAGE_KEY):
        return _IMAGE, current.config[IMAGE_KEY]
    made = _maker(session, app, current)
    if made and made.kind in ("git:from-image", "git:load-image"):
        return _IMAGE, made.words
    if made and made.kind == "git:sync":
        return "git-sync", made.words
    if made and made.kind == "git:from-archive":
        kind, _, url = made.words.partition(" ")
        return kind, url
    if made is None and current.image_name:
        return _IMAGE, current.image_name
    return "git-push", current.commit or ""


def forget_told(session: Session, app: App) -> None:
    """A deploy's commit: what apps:set said is over."""
    for key in KEYS:
        session.properties.set(app.id, "app", key, "")


def _maker(session: Session, app: App, release: Release) -> Operation | None:
    """The operation whose source the release's image was built from: a rebuild's is the one before it."""
    number = release.image_tag.rpartition(":")[2]
    rows = session.database.rows(
        "SELECT id, kind FROM operations WHERE app_id = ? AND release = ? ORDER BY id LIMIT 1",
        (app.id, number),
    )
    last = rows[0]["id"] if rows else 0
    marks = ", ".join("?" * len(_KINDS))
    found = session.database.row(
        f"SELECT id FROM operations WHERE app_id = ? AND id <= ? AND release IS NOT NULL AND kind IN ({marks})"  # noqa: S608
        " AND status IN ('succeeded', 'running') ORDER BY id DESC LIMIT 1",
        (app.id, last, *_KINDS),
    )
    return session.operations.get(found["id"]) if found else None
