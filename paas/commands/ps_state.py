"""ps:start, stop, restart, rebuild, restore and retire — of one app, or of all."""

from __future__ import annotations

from typing import Annotated

import typer

from paas.commands.base import AllOption, every_app, no_more, session, the_app
from paas.commands.ps import group
from paas.deploy import changes, pipeline
from paas.deploy.every_app import Action
from paas.deploy.every_app import every_app as on_each
from paas.deploy.restore import restore as restore_app
from paas.deploy.restore import wanted
from paas.deploy.retire import retire_due
from paas.deploy.session import Session
from paas.deploy.skipped import skipped_release
from paas.deploy.source import deploy_branch
from paas.deploy.sources.registry import IMAGE_KEY
from paas.errors import PaasError
from paas.model.access import DEPLOY_SOME
from paas.model.names import ProcessType
from paas.store.apps import App

ParallelOption = Annotated[
    int, typer.Option("--parallel", metavar="N", min=-1, help="So many apps at once; -1: one a processor")
]
AppWords = Annotated[list[str] | None, typer.Argument(metavar="APP|--all", show_default=False)]
AppTypeWords = Annotated[list[str] | None, typer.Argument(metavar="APP|--all [TYPE]", show_default=False)]
MaybeApp = Annotated[str, typer.Argument(metavar="[APP]", show_default=False)]


class NoSuchType(PaasError):
    """App {app} has no process type {kind}. See ps:scale {app}"""


def _do(what: str, action: Action, words: list[str], everywhere: bool, parallel: int) -> None:
    if everywhere:
        no_more(words)
        on_each(session(), every_app(), what, action, parallel)
        return
    no_more(words[1:])
    action(session(), the_app(words[0] if words else ""))


def _deployed(session: Session, app: App) -> bool:
    """False, with a warning, where there is nothing to act on: Dokku exits 0 then."""
    if app.deployed or skipped_release(session, app):
        return True
    session.console.warn(f"App {app.name} has not been deployed")
    return False


@group.command("restart", needs=DEPLOY_SOME)
def restart(words: AppTypeWords = None, everywhere: AllOption = False, parallel: ParallelOption = 1) -> None:
    """Replace an app's processes by new ones without losing a request."""
    rest = list(words or [])
    position = 0 if everywhere else 1
    kind = ProcessType.parse(rest.pop(position)) if len(rest) > position else None

    def action(session: Session, app: App) -> None:
        if not _deployed(session, app):
            return
        if skipped_release(session, app):
            changes.start(session, app, "ps:restart")
            return
        if kind and kind not in session.releases.current(app).manifest.processes:
            raise NoSuchType(app=app.name, kind=kind)
        changes.restart(session, app, "ps:restart", kind)

    _do("restart", action, rest, everywhere, parallel)


@group.command("stop", needs=DEPLOY_SOME)
def stop(words: AppWords = None, everywhere: AllOption = False, parallel: ParallelOption = 1) -> None:
    """Stop an app's processes until ps:start."""

    def action(session: Session, app: App) -> None:
        if _deployed(session, app) and app.deployed:
            session.console.step(f"Stopping {app.name}")
            changes.stop(session, app)

    _do("stop", action, list(words or []), everywhere, parallel)


@group.command("start", needs=DEPLOY_SOME)
def start(words: AppWords = None, everywhere: AllOption = False, parallel: ParallelOption = 1) -> None:
    """Start a stopped app, with the config that was set meanwhile."""

    def action(session: Session, app: App) -> None:
        if not _deployed(session, app):
            return
        if skipped_release(session, app) is None and changes.runs(session, app):
            session.console.warn(f"App {app.name} already running")
            return
        session.console.warn("App has been detected as not running, releasing")
        changes.start(session, app)

    _do("start", action, list(words or []), everywhere, parallel)


@group.command("rebuild", needs=DEPLOY_SOME)
def rebuild(words: AppWords = None, everywhere: AllOption = False, parallel: ParallelOption = 1) -> None:
    """Pull the app's image again, or build its newest commit again, and release it."""

    def action(session: Session, app: App) -> None:
        commit = session.repository(app).resolve(deploy_branch(session, app).ref)
        if commit or session.config(app).get(IMAGE_KEY) or _deployed(session, app):
            pipeline.rebuild(session, app)

    _do("rebuild", action, list(words or []), everywhere, parallel)


@group.command("restore", needs=DEPLOY_SOME)
def restore(app: MaybeApp = "", everywhere: AllOption = False, parallel: ParallelOption = 1) -> None:
    """Start what should run and does not, as at boot; not what is set to restore false."""

    def action(session: Session, app: App) -> None:
        if not app.deployed:
            return
        if not wanted(session, app):
            session.console.detail(f"{app.name} is not to be started")
            return
        session.console.step(f"Restoring {app.name}")
        restore_app(session, app, "ps:restore")

    _do("restore", action, [app] if app else [], everywhere or not app, parallel)


@group.command("retire", needs=DEPLOY_SOME)
def retire(app: MaybeApp = "") -> None:
    """Remove old containers that are drained or due, and images that no release needs."""
    for found in [the_app(app)] if app else every_app():
        retire_due(session(), found)
