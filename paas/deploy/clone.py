"""apps:clone: another app with the same config, properties, formation and repository, running the same image."""

from __future__ import annotations

from paas.deploy import plugged, source
from paas.deploy import release as releases
from paas.deploy.files.hooks import lifecycle
from paas.deploy.operation import RunningOperation, announce, operation
from paas.deploy.pipeline import Change, deploy, release
from paas.deploy.routing.urls import urls
from paas.deploy.session import Session
from paas.deploy.source import Source
from paas.deploy.sources.registry import IMAGE_KEY
from paas.deploy.upkeep.agent_mail import CERTIFICATES, tell_agent
from paas.engine.images import Image
from paas.errors import NameTaken, PaasError
from paas.model.image import ImageRef
from paas.model.names import AppName
from paas.model.release import Release
from paas.store.apps import App
from paas.store.clone import copy_settings


class ClonedOnly(PaasError):
    """{new} was made from {old} but does not run: {reason}. Try again with ps:rebuild {new}, or remove it with apps:destroy {new}"""


def clone(session: Session, app: App, name: AppName, skip_deploy: bool) -> None:
    """Raises NameTaken, ClonedOnly. What `app` is at this moment is copied, then deployed without a build where its
    image is still there."""
    words = f"{app.name} {name}"
    with operation(session, app, "apps:clone", words) as running:
        original = running.app
        if session.apps.find(name):
            raise NameTaken()
        with session.repository(original).copied(name) as move_in, session.database.transaction():
            copy = copy_settings(session.database, original, name)
            plugged.cloned(session, copy, original)
            move_in()
        record = session.releases.find(original.id, original.current_release)
    tell_agent(session.settings, CERTIFICATES)
    if skip_deploy or record is None:
        session.operations.done(copy, "apps:clone", words, session.caller)
        return
    with operation(session, copy, "apps:clone", words) as running:
        try:
            image = session.images.find(record.image_tag)
            if image is not None:
                _release_same(session, running, record, image)
            else:
                _build_again(session, running, record)
        except PaasError as error:
            raise ClonedOnly(new=name, old=original.name, reason=error.fields.get("reason", error)) from error
        announce(session, urls(session, running.app))


def _release_same(session: Session, running: RunningOperation, record: Release, image: Image) -> None:
    app = running.app
    number = session.releases.next_number(app)
    tag = session.image_tag(app, number)
    session.images.tag(image.id, tag)
    plan = releases.Plan(
        description=f"Clone of {record.description.removeprefix('Clone of ')}",
        image=image,
        image_tag=tag,
        image_name=record.image_name,
        commit=record.commit,
        config=session.config(app).all(),
        manifest=record.manifest,
    )
    try:
        with lifecycle(session, app, "deploy", running.id):
            release(session, app, running, plan, number, before=True)
    except BaseException:
        session.images.untag(tag)
        raise


def _build_again(session: Session, running: RunningOperation, record: Release) -> None:
    app = running.app
    config = session.config(app).all()
    image = config.get(IMAGE_KEY)
    commit = source.attached_commit(session, app) if image else record.commit
    deploy(session, running, Change(Source(commit, ImageRef.parse(image) if image else None), config))
