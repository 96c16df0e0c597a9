"""A new release: what it is made of, and its row."""

from __future__ import annotations

from dataclasses import dataclass

from paas.deploy.session import Session
from paas.engine.images import Image
from paas.model.release import Manifest, Release
from paas.store.apps import App
from paas.store.releases import now


@dataclass(frozen=True)
class Plan:
    """What a new release is made of. `config` is the app's own, without the global one."""

    description: str
    image: Image
    image_tag: str
    image_name: str | None
    commit: str | None
    config: dict[str, str]
    manifest: Manifest


def create(session: Session, app: App, plan: Plan, operation_id: int, number: int) -> Release:
    """Record the pending release."""
    release = Release(
        app_id=app.id,
        number=number,
        status="pending",
        operation_id=operation_id,
        created_at=now(),
        description=plan.description,
        commit=plan.commit,
        image_name=plan.image_name,
        image_id=plan.image.id,
        image_tag=plan.image_tag,
        config=plan.config,
        manifest=plan.manifest,
        formation=session.apps.formation(app),
    )
    session.releases.add(release)
    session.operations.set_release(operation_id, number)
    return release
