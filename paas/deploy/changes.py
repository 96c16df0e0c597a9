"""Changes of what runs without a new source: config, rollback, restart, scale, stop, destroy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from paas.deploy import plugged
from paas.deploy import release as releases
from paas.deploy.deploy_lock import refuse_locked
from paas.deploy.files.hooks import lifecycle
from paas.deploy.operation import RunningOperation, announce, operation
from paas.deploy.phase import run_after
from paas.deploy.pipeline import release
from paas.deploy.rollout import Rollout, notify_agent
from paas.deploy.routing.urls import urls
from paas.deploy.session import Session
from paas.deploy.skipped import note, skipped_release
from paas.deploy.sources.checkout import Checkout
from paas.deploy.sources.registry import Credentials
from paas.engine.containers import LABEL_APP, LABEL_ROOT
from paas.engine.images import Image
from paas.errors import PaasError
from paas.model.names import ProcessType
from paas.model.release import Formation, Process, Release
from paas.steps import step
from paas.store.apps import App
from paas.store.releases import Retirement
from paas.store.uploads import Uploads


class ScaledByAppJson(PaasError):
    """App {app} contains an app.json file with a formations key and cannot be manually scaled"""


class ImageGone(PaasError):
    """The image of release r{number} ({image}) is not on the engine any more. Nothing was changed. Deploy it again"""


def change_config(
    session: Session, app: App, kind: str, words: str, change: Callable[[dict[str, str]], None], restart: bool
) -> None:
    """Set or unset config. A deployed app gets a new release of its image with the new values, or keeps the old
    values when that fails; with `restart` false, or never deployed, they are only stored."""
    with operation(session, app, kind, words) as running:
        app = running.app
        config = session.config(app).all()
        change(config)
        Credentials.of(config)
        runs = app.deployed and not app.stopped and session.properties.computed(app.id, "ps", "restore") == "true"
        if not restart or not runs:
            session.config(app).replace(config)
            return
        session.console.step(f"Restarting app {app.name}")
        plan = plan_from(session, session.releases.current(app), kind, config)
        with lifecycle(session, app, "configure", running.id):
            number = session.releases.next_number(app)
            release(session, app, running, plan, number)
        announce(session, urls(session, running.app))


def plan_from(session: Session, record: Release, description: str, config: dict[str, str]) -> releases.Plan:
    """A plan for a new release with another one's image, commit and manifest. Raises ImageGone."""
    return releases.Plan(
        description=description,
        image=release_image(session, record),
        image_tag=record.image_tag,
        image_name=record.image_name,
        commit=record.commit,
        config=config,
        manifest=record.manifest,
    )


def release_image(session: Session, record: Release) -> Image:
    """The pinned image of a release. Raises ImageGone."""
    with step("image"):
        image = session.images.find(record.image_tag)
    if image is None:
        raise ImageGone(number=record.number, image=record.image_name or record.image_tag)
    return image


def rollback(session: Session, app: App, number: int | None) -> None:
    """releases:rollback: a new release with the image, config and processes of an earlier one."""
    with operation(session, app, "releases:rollback", f"r{number}" if number else "") as running:
        app = running.app
        refuse_locked(session, app)
        target = session.releases.to_roll_back_to(app, number)
        session.console.step(f"Rolling back to release r{target.number} ({target.description})")
        plan = plan_from(session, target, f"Rollback to r{target.number}", target.config)
        number = session.releases.next_number(app)
        release(session, app, running, plan, number, also=lambda: note(session, app, None))
        announce(session, urls(session, running.app))


def restart(session: Session, app: App, kind: str, process_type: ProcessType | None = None) -> None:
    """Replace the processes of the current release (of one type, or all) by new ones; also starts a stopped app."""
    with operation(session, app, kind, process_type or "") as running:
        app = running.app
        keep = [
            item
            for item in session.releases.processes(app.id)
            if process_type and item.process_type != process_type
        ]
        with lifecycle(session, app, "restart", running.id):
            roll(session, app, running, session.apps.formation(app), keep)


def kill_all(session: Session, app: App) -> None:
    """restart --simulate-oom: kill every process as the kernel does when memory runs out. They come back as any
    process does that ended: the agent starts them; without one it is done here."""
    with operation(session, app, "restart", "--simulate-oom"):
        killed = session.releases.processes(app.id)
        for process in killed:
            session.console.detail(f"Killing {process.name}; it is started again")
            session.containers.kill(process.container_id)
        if not notify_agent(session):
            for process in killed:
                session.containers.start(process.container_id, process.name)


def runs(session: Session, app: App) -> bool:
    """Whether all of the app's processes do."""
    states = [session.containers.find(item.container_id) for item in session.releases.processes(app.id)]
    return not app.stopped and all(state is not None and state.running for state in states)


def start(session: Session, app: App, kind: str = "ps:start") -> None:
    """Go on with a deploy that ended before its rollout; else start the current release's processes, or, where config
    was changed meanwhile, those of a new release."""
    with operation(session, app, kind) as running:
        app = running.app
        skipped = skipped_release(session, app)
        record = skipped or session.releases.current(app)
        config = session.config(app).all()
        if skipped is None and config == record.config:
            with lifecycle(session, app, "restart", running.id):
                roll(session, app, running, session.apps.formation(app), [])
            return
        plan = plan_from(session, record, record.description if skipped else kind, config)
        with lifecycle(session, app, "deploy" if skipped else "configure", running.id):
            number = session.releases.next_number(app)
            started = release(session, app, running, plan, number, also=lambda: note(session, app, None))
            if skipped and started:
                run_after(session, app, started, running.id)
        announce(session, urls(session, running.app))


def can_scale(session: Session, app: App) -> bool:
    """Whether ps:scale decides how many processes run, and not the newest release's app.json."""
    newest = skipped_release(session, app) or session.releases.find(app.id, app.current_release)
    return newest is None or not newest.manifest.formation


def require_scalable(session: Session, app: App) -> None:
    """Raises ScaledByAppJson."""
    if not can_scale(session, app):
        raise ScaledByAppJson(app=app.name)


def scale(
    session: Session,
    app: App,
    counts: Formation,
    fresh: ProcessType | None = None,
    skip_deploy: bool = False,
) -> None:
    """Change how many processes run: only types whose count changes are touched, and `fresh` is replaced whole.

    With `skip_deploy` the counts are only stored.
    """
    words = " ".join(f"{kind}={count}" for kind, count in counts.items())
    with operation(session, app, "ps:scale", words) as running:
        app = running.app
        before = session.apps.formation(app)
        if any(before.get(kind, 0) != count for kind, count in counts.items()):
            require_scalable(session, app)
        formation = dict(sorted((session.apps.formation(app) | counts).items()))
        if skip_deploy or not app.deployed or app.stopped:
            session.apps.set_formation(app, formation)
            return
        keep = [item for item in session.releases.processes(app.id) if item.process_type != fresh]
        with lifecycle(session, app, "scale", running.id):
            roll(session, app, running, formation, keep)


def roll(
    session: Session, app: App, running: RunningOperation, formation: Formation, keep: list[Process]
) -> None:
    """Bring the current release to `formation`, leaving the processes in `keep` alone as far as it allows."""
    record = session.releases.current(app)

    def commit(serving: list[Process], retired: list[Retirement]) -> None:
        with session.database.transaction():
            session.apps.set_formation(app, formation)
            session.apps.set_stopped(app, False)
            session.releases.set_processes(app, serving, retired)

    image = release_image(session, record)
    Rollout(session, app, record, image, formation, running.id, commit, keep=keep).run()


def stop(session: Session, app: App) -> None:
    """ps:stop: out of rotation, stopped; stays so until ps:start."""
    with operation(session, app, "ps:stop") as running:
        app = running.app
        record = session.releases.current(app)

        def commit(serving: list[Process], retired: list[Retirement]) -> None:
            with session.database.transaction():
                session.apps.set_stopped(app, True)
                session.releases.set_processes(app, serving, [replace(item, due_at=0) for item in retired])

        Rollout(session, app, record, release_image(session, record), {}, running.id, commit).run()


def destroy(session: Session, app: App) -> None:
    """apps:destroy: everything of the app but the record of its operations."""
    with operation(session, app, "apps:destroy"):
        tags = {item.image_tag for item in session.releases.all(app)}
        servers = [item.server for item in session.releases.processes(app.id)]
        labels = {LABEL_ROOT: str(session.settings.root), LABEL_APP: str(app.name)}
        owned = _owned_containers(session)
        # Asked for first: an engine that does not answer is noticed before anything is gone.
        containers = {item for item in session.containers.ids(labels) if owned.get(item, app.id) == app.id}
        containers |= {item for item, owner in owned.items() if owner == app.id}
        with session.database.transaction():
            plugged.destroyed(session, app)
            session.apps.delete(app)
        session.reroute()
        for server in servers:
            session.router.remove(app.slot, server)
        for container in containers:
            session.containers.remove(container)
        for tag in tags:
            session.images.untag(tag)
        session.repository(app).remove()
        Checkout(session, app).remove()
        Uploads(session.settings, app.id).clear()
        notify_agent(session)


def _owned_containers(session: Session) -> dict[str, int]:
    """App ids by container: of a renamed app's, the labels may still tell the old name."""
    found = {item.container_id: item.app_id for item in session.releases.all_processes()}
    return found | {item.container_id: item.app_id for item in session.releases.retirements()}
