"""The path of a deploy: every way in ends as one `Source`, and one path leads from there to a serving release.

Lock → source → build → manifest → release → rollout → commit. What changes without a new source is in changes.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from paas.deploy import plugged, source
from paas.deploy import release as releases
from paas.deploy.accept import Push, accept_own, promise
from paas.deploy.build import build_source
from paas.deploy.containers.services import sized
from paas.deploy.deploy_lock import refuse_locked
from paas.deploy.files.app_json_env import with_env
from paas.deploy.files.hooks import lifecycle
from paas.deploy.files.manifest import PROCFILE
from paas.deploy.files.manifest_files import read_manifest
from paas.deploy.operation import RunningOperation, announce, operation
from paas.deploy.phase import run_after, run_before
from paas.deploy.rollout import Rollout
from paas.deploy.routing.endpoint import own_page, store_options
from paas.deploy.routing.urls import urls
from paas.deploy.session import Session
from paas.deploy.skipped import note, skipped_release, skips
from paas.deploy.source import Source
from paas.deploy.sources.load import loaded
from paas.deploy.sources.registry import IMAGE_KEY
from paas.deploy.sources.registry_push import push_release
from paas.deploy.upkeep.deploy_source import forget_told
from paas.errors import NotDeployed, PaasError
from paas.model.image import ImageRef
from paas.model.names import ProcessType
from paas.model.release import Formation, Manifest, Process, Release
from paas.steps import step
from paas.store.apps import App
from paas.store.releases import Retirement


@dataclass(frozen=True)
class NewServices:
    """How a deploy starts the types that it brings: `count` processes if that was asked for, else `usual`; each with
    `memory_mb` (None: no limit)."""

    count: int | None = None
    usual: int = 0
    memory_mb: int | None = None


@dataclass(frozen=True)
class Change:
    """A deploy: what from, with which config of the app, and what else its commit stores.

    `files_of_image`: app.json, Procfile and .aptible.yml are read from the image only (git:set source-image).
    `fresh`: what was built before is built again.
    """

    source: Source
    config: dict[str, str]
    new_services: NewServices = field(default_factory=NewServices)
    also: Callable[[], None] = lambda: None
    files_of_image: bool = False
    fresh: bool = False


def deploy_image(
    session: Session,
    app: App,
    kind: str,
    ref: ImageRef,
    author: source.Author,
    build_dir: str | None = None,
    force: bool = False,
    archive: BinaryIO | None = None,
    in_layers: bool = False,
) -> None:
    """git:from-image, and git:load-image where an `archive` to load first is given; `in_layers`: it comes from `paas -H`."""
    with operation(session, app, kind, ref.text) as running, contextlib.ExitStack() as stack:
        app = running.app
        refuse_locked(session, app)
        image = None
        if archive is not None:
            image = stack.enter_context(loaded(session, ref, archive, running.id, app if in_layers else None))
        session.console.step("Generating build context")
        # Before the image is asked for: a wrong folder is told at once.
        if build_dir is not None:
            source.check_build_dir(build_dir)
        if image is None or force:
            with step("image"):
                image = source.obtain_image(session, app, ref, session.config(app).all(), force)
        else:
            source.tell_it_is_here(session)
        session.repository(app).create(source.deploy_branch(session, app))
        commit = source.image_commit(session, app, ref, image, author, build_dir)
        session.console.step("Updating git repository with specified build context")
        if not force and unchanged(session, app, image.id, commit.tree_id):
            tell_unchanged(session)
            return
        with commit.written() as commit_id:
            deploy_own(session, running, commit_id)
        announce_deploy(session, running.app)


def tell_unchanged(session: Session) -> None:
    """Dokku's words for it, on standard output."""
    session.console.print(" !     No changes detected, skipping git commit")
    session.console.print(" !     Call 'ps:rebuild' on app to rebuild the app from existing source")


def unchanged(session: Session, app: App, image_id: str | None, tree_id: str) -> bool:
    """Whether what runs was made from this image (None: from no image) and these files. A failed deploy never counts."""
    if app.current_release is None or app.stopped:
        return False
    current = session.releases.current(app)
    repository = session.repository(app)
    if current.commit is None or IMAGE_KEY in current.config or repository.resolve(current.commit) is None:
        return False
    return (
        repository.tree_id(current.commit) == tree_id
        and source.committed_image_id(repository.message(current.commit)) == image_id
    )


def deploy_own(session: Session, running: RunningOperation, commit: str) -> None:
    """Deploy a commit that we wrote as the newest one of the deploy branch, which it is then."""
    branch = source.deploy_branch(session, running.app)
    own = Push(branch, branch.ref, commit)
    try:
        deploy_commit(session, running, commit, own)
    finally:
        accept_own(session, running.app, own)


def deploy_pushed(session: Session, app: App, pushed: Push) -> None:
    """What hooks/pre-receive does with a commit of the deploy branch."""
    with operation(session, app, "git-push", f"{pushed.branch} {pushed.commit[:12]}") as running:
        deploy_commit(session, running, pushed.commit, pushed)
        announce_deploy(session, running.app)


def deploy_commit(session: Session, running: RunningOperation, commit: str, pushed: Push | None = None) -> None:
    """Deploy a commit of the deploy branch: with the app's image if it has one set, else its Dockerfile. `pushed`: what is
    accepted when that succeeds.

    The commit of a git:from-image is the image, and unsets the other one.
    """
    app = running.app
    config = session.config(app).all()
    image = config.get(IMAGE_KEY)
    if image and source.committed_image_id(session.repository(app).message(commit)):
        session.console.detail(f"{IMAGE_KEY} was {image} and is unset now")
        del config[IMAGE_KEY]
        image = None
    found = Source(commit, ImageRef.parse(image) if image else None)

    def also() -> None:
        source.attach(session, app)
        session.properties.set(app.id, "git", source.SOURCE_IMAGE, "")
        if pushed:
            promise(session, app, pushed)

    deploy(session, running, Change(found, config, _new_services(image), also))


def _new_services(image: str | None) -> NewServices:
    """An app with an image set is Aptible's kind: the services that its Procfile brings start, once each."""
    return NewServices(usual=1 if image else 0)


def rebuild(session: Session, app: App, kind: str = "ps:rebuild") -> None:
    """Pull the app's image again, or build the newest commit of its deploy branch again, and release it."""
    with operation(session, app, kind) as running:
        app = running.app
        config = session.config(app).all()
        image = config.get(IMAGE_KEY)
        if image:
            found = Source(source.attached_commit(session, app), ImageRef.parse(image))
        else:
            commit = session.repository(app).resolve(source.deploy_branch(session, app).ref)
            if commit is None:
                raise NotDeployed(app=app.name)
            found = Source(commit)
        of_image = bool(session.properties.get(app.id, "git", source.SOURCE_IMAGE))
        deploy(session, running, Change(found, config, files_of_image=of_image, fresh=True))
        announce_deploy(session, running.app)


def deploy(session: Session, running: RunningOperation, change: Change) -> None:
    """Build, release and roll out. Whatever fails leaves the app as it was."""
    # The lock may have been waited for: what the app is now counts.
    app = running.app
    refuse_locked(session, app)
    plugged.before_deploy(session, app)
    number = session.releases.next_number(app)

    def also() -> None:
        forget_told(session, app)
        change.also()

    with lifecycle(session, app, "deploy", running.id), contextlib.ExitStack() as later:
        with step("build"):
            built = build_source(session, app, change.source, change.config, number, change.fresh)
        try:
            files = None if change.files_of_image else change.source.commit
            with step("manifest"):
                manifest = read_manifest(session, app, files, built, later)
            plan = releases.Plan(
                description=f"Deploy {built.image_name or str(change.source.commit)[:12]}",
                image=built.image,
                image_tag=built.tag,
                image_name=built.image_name,
                commit=change.source.commit,
                config=change.config,
                manifest=manifest,
            )
            record = release(session, app, running, plan, number, change.new_services, also, before=True)
        except BaseException:
            _forget_image(session, built.tag)
            raise
        if record:
            plugged.after_deploy(session, app, record)
            run_after(session, app, record, running.id)


def release(
    session: Session,
    app: App,
    running: RunningOperation,
    plan: releases.Plan,
    number: int,
    new_services: NewServices | None = None,
    also: Callable[[], None] = lambda: None,
    before: bool = False,
) -> Release | None:
    """The steps from the release's row to the commit; on any failure the row says failed. The release that serves now,
    None where the app is set to skip that.

    `before`: it is a deploy, so that config and commands which a manifest asks for come first.
    """
    session.console.step(f"Releasing {app.name}...")
    new_services = new_services or NewServices()
    if before:
        plan = replace(plan, config=with_env(session, app, plan.manifest, plan.config))
    formation, new = sync_formation(session, app, plan.manifest, new_services)
    with step("release"):
        record = releases.create(session, app, plan, running.id, number)
    try:
        if before:
            image = run_before(session, app, record, plan.image, running.id)
            plan, record = replace(plan, image=image), replace(record, image_id=image.id)
            session.releases.set_image(record)
            push_release(session, app, image, plan.config)
            if skips(session, app):
                with session.database.transaction():
                    session.releases.keep(record)
                    session.config(app).replace(plan.config)
                    note(session, app, number)
                    also()
                session.console.step("Skipping deployment")
                return None

        def commit(serving: list[Process], retired: list[Retirement]) -> None:
            with session.database.transaction():
                session.releases.commit(app, record, serving, formation, plan.config, retired)
                store_options(session, app, plan.config, page)
                if before:
                    note(session, app, None)
                also()

        page = own_page(session, app, plan.config)
        with sized(session, app, new, new_services.memory_mb):
            Rollout(session, app, record, plan.image, formation, running.id, commit).run()
    except BaseException:
        session.releases.fail(app.id, number)
        raise
    return record


def announce_deploy(session: Session, app: App) -> None:
    """The end of a deploy, unless its rollout was skipped."""
    if skipped_release(session, app) is None:
        announce(session, urls(session, app))


def _forget_image(session: Session, tag: str) -> None:
    """A failed deploy's image is not kept; when the engine is away, recovery does it."""
    try:
        session.images.untag(tag)
    except PaasError:
        return


def sync_formation(
    session: Session, app: App, manifest: Manifest, services: NewServices
) -> tuple[Formation, list[ProcessType]]:
    """The app's counts for a manifest, and the types that are new in it; of an app that was never deployed all are.

    As in Dokku new types start at 0 and web at 1, unless `services` says otherwise; where app.json says how many, only
    that counts. Types that have gone and have no processes are forgotten. The Procfile's release line is listed, with 0.
    """
    stored = session.apps.formation(app)
    known = {*manifest.processes, *(ProcessType(item.phase) for item in manifest.before if item.origin == PROCFILE)}
    new = [kind for kind in manifest.processes if kind not in stored or not app.deployed]
    formation = {kind: count for kind, count in stored.items() if count or kind in known}
    if services.usual:
        for kind in sorted(formation.keys() - known):
            if formation.pop(kind) and app.deployed:
                session.console.warn(f"Service {kind} is not in the Procfile any more, its containers are stopped")
    for kind in manifest.processes:
        formation.setdefault(kind, services.usual)
        if kind in new and services.count is not None:
            formation[kind] = services.count
    for kind in known - manifest.processes.keys():
        formation[kind] = 0
    if manifest.formation:
        formation = dict.fromkeys(formation, 0) | manifest.formation
    return dict(sorted(formation.items())), new
