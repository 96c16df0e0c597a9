"""The path of a deploy and of every other change of what runs: lock, source, build, manifest, release, rollout, commit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO

from paas.deploy import manifest as manifests
from paas.deploy import release as releases
from paas.deploy import source
from paas.deploy.build import image_of_commit
from paas.deploy.operation import RunningOperation, adopted_operation, announce, operation
from paas.deploy.rollout import Rollout, notify_agent
from paas.deploy.session import Session
from paas.deploy.urls import urls
from paas.engine.images import Image
from paas.errors import NotDeployed, PaasError
from paas.model.image import ImageRef
from paas.model.names import ProcessType
from paas.model.release import Formation, Manifest, Process, Release
from paas.store.apps import App
from paas.store.locks import FileLock, app_lock
from paas.store.releases import Retirement


class ImageNotInArchive(PaasError):
    """Loaded image tarball but the specified docker image was not found: {image}"""


class ImageGone(PaasError):
    """The image of release r{number} ({image}) is not on the engine any more. Nothing was changed. Deploy it again"""


def deploy_image(
    session: Session,
    app: App,
    kind: str,
    ref: ImageRef,
    author: source.Author,
    build_dir: str | None = None,
    force: bool = False,
    archive: BinaryIO | None = None,
) -> None:
    """git:from-image, and git:load-image where an `archive` to load first is given."""
    with operation(session, app, kind, ref.text) as running:
        if archive is not None:
            _load(session, ref, archive)
        session.console.step("Generating build context")
        # Before the image is asked for: a wrong folder is told at once.
        if build_dir is not None:
            source.check_build_dir(build_dir)
        image = source.obtain_image(session, ref, force)
        session.repository(app).create(source.deploy_branch(session, app))
        commit = source.image_commit(session, app, ref, image, author, build_dir)
        session.console.step("Updating git repository with specified build context")
        with commit.written() as (folder, commit_id, tree_id):
            if not force and _unchanged(session, app, image, tree_id):
                session.console.print(" !     No changes detected, skipping git commit")
                session.console.print(
                    " !     Call 'ps:rebuild' on app to rebuild the app from existing source"
                )
                return
            source.push(session, app, folder, commit_id, running.lock, running.id)
        current = session.apps.get(app.name)
        announce(session, urls(session, current))


def _load(session: Session, ref: ImageRef, archive: BinaryIO) -> None:
    """Load the archive and insist on the image being in it; else put the engine's names back as they were."""
    before = session.images.names()
    loaded = session.images.load(archive, session.console)
    for name in loaded:
        session.console.print(f"Loaded image: {name}" if ":" in name else f"Loaded image ID: {name}")
    wanted = {ref.name, str(ref.digest)}
    held = set(loaded) | {image.id for name in loaded if (image := session.images.find(name)) is not None}
    if wanted & held:
        return
    for name in loaded:
        if name in before:
            session.images.tag(before[name], name)
        else:
            session.images.untag(name)
    raise ImageNotInArchive(image=ref)


def _unchanged(session: Session, app: App, image: Image, tree_id: str) -> bool:
    """Whether what runs was made from this image and these files. A failed deploy never counts."""
    if app.current_release is None or app.stopped:
        return False
    current = session.releases.current(app)
    repository = session.repository(app)
    if current.commit is None or repository.resolve(current.commit) is None:
        return False
    return (
        repository.tree_id(current.commit) == tree_id
        and source.committed_image_id(repository.message(current.commit)) == image.id
    )


def deploy_pushed(session: Session, app: App, commit: str, branch: str) -> None:
    """What hooks/pre-receive does with a commit of the deploy branch."""
    parent = session.caller.environment.get("PAAS_OPERATION")
    if parent:
        with adopted_operation(session, app, int(parent), _inherited_lock(session, app)) as running:
            release_commit(session, running, commit)
        return
    with operation(session, app, "git-push", f"{branch} {commit[:12]}") as running:
        release_commit(session, running, commit)
        announce(session, urls(session, session.apps.get(app.name)))


def _inherited_lock(session: Session, app: App) -> FileLock:
    lock = app_lock(session.settings, app.id, session.caller.descriptors[3])
    if not lock.try_acquire():
        raise PaasError(
            f"The lock of {app.name} is not held by the command that pushed. Nothing was changed. Try again"
        )
    return lock


def rebuild(session: Session, app: App) -> None:
    """ps:rebuild: build and release the newest commit of the deploy branch again."""
    branch = source.deploy_branch(session, app)
    commit = session.repository(app).resolve(branch.ref)
    if commit is None:
        raise NotDeployed(app=app.name)
    with operation(session, app, "ps:rebuild", "") as running:
        release_commit(session, running, commit)
        announce(session, urls(session, session.apps.get(app.name)))


def release_commit(session: Session, running: RunningOperation, commit: str) -> None:
    """Build a commit, release it and roll it out."""
    # The lock may have been waited for: what the app is now counts.
    app = session.apps.get(running.app.name)
    number = session.releases.next_number(app)
    built = image_of_commit(session, app, commit, number)
    try:
        found = _read_manifest(session, app, commit, built.image, built.image_name)
        description = f"Deploy {built.image_name or commit[:12]}"
        plan = releases.Plan(
            description=description,
            image=built.image,
            image_tag=built.tag,
            image_name=built.image_name,
            commit=commit,
            config=session.config(app).all(),
            manifest=found,
        )
        _release(session, app, running, plan, number, phase=True)
    except BaseException:
        _forget_image(session, built.tag)
        raise


def _release(
    session: Session, app: App, running: RunningOperation, plan: releases.Plan, number: int, phase: bool
) -> None:
    """The steps from the release's row to the commit; on any failure the row says failed."""
    session.console.step(f"Releasing {app.name}...")
    formation = sync_formation(session, app, plan.manifest)
    release = releases.create(session, app, plan, running.id, number)
    try:
        if phase:
            releases.run_phase(session, app, release, plan.image, running.id)

        def commit(serving: list[Process], retired: list[Retirement]) -> None:
            session.releases.commit(app, release, serving, formation, plan.config, retired)

        Rollout(session, app, release, plan.image, formation, running.id, commit).run()
    except BaseException:
        session.releases.fail(app.id, number)
        raise


def _forget_image(session: Session, tag: str) -> None:
    """A failed deploy's image is not kept; when the engine is away, recovery does it."""
    try:
        session.images.untag(tag)
    except PaasError:
        return


def _read_manifest(session: Session, app: App, commit: str, image: Image, image_name: str | None) -> Manifest:
    repository = session.repository(app)
    names = (manifests.PROCFILE, manifests.APTIBLE_YML, manifests.APP_JSON)
    files = {name: data for name in names if (data := repository.read(commit, name)) is not None}
    if image_name is not None:
        files = manifests.pick(image, _image_files(session, image)) | files
    return manifests.parse(files, image, session.console)


def _image_files(session: Session, image: Image) -> manifests.Files:
    """The manifest files of an image, remembered by its id: reading them costs a container."""
    memory = session.settings.root / "cache" / f"{image.id.removeprefix('sha256:')}.json"
    try:
        return {path: data.encode("latin-1") for path, data in json.loads(memory.read_text()).items()}
    except (OSError, ValueError):
        pass
    paths = [path for group in manifests.image_paths(image).values() for path in group]
    found = session.images.read_files(image.id, paths)
    memory.parent.mkdir(exist_ok=True, mode=0o700)
    memory.write_text(json.dumps({path: data.decode("latin-1") for path, data in found.items()}))
    return found


def sync_formation(session: Session, app: App, manifest: Manifest) -> Formation:
    """The app's counts with new types at 0 and forgotten ones without processes left out, as Dokku does."""
    stored = session.apps.formation(app)
    formation = {kind: count for kind, count in stored.items() if count or kind in manifest.processes}
    for kind in manifest.processes:
        formation.setdefault(kind, 0)
    return dict(sorted(formation.items()))


def change_config(
    session: Session, app: App, kind: str, words: str, change: Callable[[dict[str, str]], None], restart: bool
) -> None:
    """Set or unset config. A deployed app gets a new release of its image with the new values, or keeps the old
    values when that fails; with `restart` false, or never deployed, they are only stored."""
    with operation(session, app, kind, words) as running:
        app = session.apps.get(app.name)
        config = session.config(app).all()
        change(config)
        if not restart or not app.deployed or app.stopped:
            session.config(app).replace(config)
            return
        session.console.step(f"Restarting app {app.name}")
        current = session.releases.current(app)
        plan = plan_from(session, current, kind, config)
        _release(session, app, running, plan, session.releases.next_number(app), phase=False)
        announce(session, urls(session, session.apps.get(app.name)))


def plan_from(session: Session, release: Release, description: str, config: dict[str, str]) -> releases.Plan:
    """A plan for a new release with another one's image, commit and manifest. Raises ImageGone."""
    return releases.Plan(
        description=description,
        image=release_image(session, release),
        image_tag=release.image_tag,
        image_name=release.image_name,
        commit=release.commit,
        config=config,
        manifest=release.manifest,
    )


def release_image(session: Session, release: Release) -> Image:
    """The pinned image of a release. Raises ImageGone."""
    image = session.images.find(release.image_tag)
    if image is None:
        raise ImageGone(number=release.number, image=release.image_name or release.image_tag)
    return image


def rollback(session: Session, app: App, number: int | None) -> None:
    """releases:rollback: a new release with the image, config and processes of an earlier one."""
    with operation(session, app, "releases:rollback", f"r{number}" if number else "") as running:
        app = session.apps.get(app.name)
        target = session.releases.to_roll_back_to(app, number)
        session.console.step(f"Rolling back to release r{target.number} ({target.description})")
        plan = plan_from(session, target, f"Rollback to r{target.number}", target.config)
        _release(session, app, running, plan, session.releases.next_number(app), phase=False)
        announce(session, urls(session, session.apps.get(app.name)))


def restart(session: Session, app: App, kind: str, process_type: ProcessType | None = None) -> None:
    """Replace the processes of the current release (of one type, or all) by new ones; also starts a stopped app."""
    with operation(session, app, kind, process_type or "") as running:
        app = session.apps.get(app.name)
        release = session.releases.current(app)
        keep = [
            item
            for item in session.releases.processes(app.id)
            if process_type and item.process_type != process_type
        ]
        _roll(session, app, running, release, session.apps.formation(app), keep)


def restore(session: Session, app: App) -> None:
    """Start anew what of the app's processes is gone: for the agent, after somebody removed containers."""
    with operation(session, app, "restore") as running:
        app = session.apps.get(app.name)
        release = session.releases.current(app)
        there = [
            item
            for item in session.releases.processes(app.id)
            if session.containers.find(item.container_id) is not None
        ]
        _roll(session, app, running, release, session.apps.formation(app), there)


def scale(session: Session, app: App, counts: Formation) -> None:
    """ps:scale: only types whose count changes are touched."""
    words = " ".join(f"{kind}={count}" for kind, count in counts.items())
    with operation(session, app, "ps:scale", words) as running:
        app = session.apps.get(app.name)
        formation = dict(sorted((session.apps.formation(app) | counts).items()))
        if not app.deployed or app.stopped:
            session.apps.set_formation(app, formation)
            return
        release = session.releases.current(app)
        _roll(session, app, running, release, formation, session.releases.processes(app.id))


def _roll(
    session: Session,
    app: App,
    running: RunningOperation,
    release: Release,
    formation: Formation,
    keep: list[Process],
) -> None:
    def commit(serving: list[Process], retired: list[Retirement]) -> None:
        with session.database.transaction():
            session.apps.set_formation(app, formation)
            session.apps.set_stopped(app, False)
            session.releases.set_processes(app, serving, retired)

    image = release_image(session, release)
    Rollout(session, app, release, image, formation, running.id, commit, keep=keep).run()


def stop(session: Session, app: App) -> None:
    """ps:stop: out of rotation, drained, stopped; stays so until ps:start."""
    with operation(session, app, "ps:stop") as running:
        app = session.apps.get(app.name)
        release = session.releases.current(app)

        def commit(serving: list[Process], retired: list[Retirement]) -> None:
            with session.database.transaction():
                session.apps.set_stopped(app, True)
                session.releases.set_processes(app, serving, [replace(item, due_at=0) for item in retired])

        image = release_image(session, release)
        Rollout(session, app, release, image, {}, running.id, commit).run()


def destroy(session: Session, app: App) -> None:
    """apps:destroy: everything of the app but the record of its operations."""
    from paas.engine.containers import LABEL_APP, LABEL_ROOT

    with operation(session, app, "apps:destroy"):
        tags = {item.image_tag for item in session.releases.all(app)}
        servers = [item.server for item in session.releases.processes(app.id)]
        labels = {LABEL_ROOT: str(session.settings.root), LABEL_APP: str(app.name)}
        session.apps.delete(app)
        session.router.apply(session.routes())
        for server in servers:
            session.router.remove(app.slot, server)
        for container in session.containers.ids(labels):
            session.containers.remove(container)
        for tag in tags:
            session.images.untag(tag)
        session.repository(app).remove()
        notify_agent(session)
