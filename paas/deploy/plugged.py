"""Where plugins take part: one function for each thing that they are asked, with what follows from their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from paas.errors import PaasError
from paas.model.names import AppName, ProcessType
from paas.plugins.loading import PluginFailed, call, reason
from paas.router.routes import Route

if TYPE_CHECKING:
    from paas.deploy.session import Session
    from paas.model.release import Release
    from paas.store.apps import App

Change = Callable[[Route], Route]
CREATION = "apps:create"


@dataclass(frozen=True)
class Lost:
    """A domain that a plugin's route for `app` has left out, because it is the app `owner`'s."""

    domain: str
    app: str
    owner: str


def changed_routes(session: Session, routes: tuple[Route, ...]) -> tuple[tuple[Route, ...], list[Lost]]:
    """The routes as plugins want them. No app loses a domain to another one's plugin. Raises PluginFailed."""
    changes: list[dict[int, Change]] = call(session.settings, "paas_routes", session=session, app=None)
    if not any(changes):
        return routes, []
    owners = {key: route for route in routes for key in route.entries}
    found, lost = [], []
    for before in routes:
        after = before
        for each in changes:
            change = each.get(before.app_id)
            after = _applied(change, after) if change else after
        taken = {key for key in after.entries if owners.setdefault(key, before).slot != before.slot}
        if taken:
            lost += [Lost(key, before.app, owners[key].app) for key in sorted(taken)]
            after = _without(after, taken)
        found.append(after)
    return tuple(found), lost


def changed_route(session: Session, app: App, route: Route) -> Route:
    """One app's route as plugins want it, domains of other apps included."""
    for changes in call(session.settings, "paas_routes", session=session, app=app):
        change = changes.get(app.id)
        route = _applied(change, route) if change else route
    return route


def _applied(change: Change, route: Route) -> Route:
    try:
        after = change(route)
        if (after.app_id, after.slot, after.app) == (route.app_id, route.slot, route.app):
            return after
        why = "its route is another app's"
    except Exception as error:
        why = reason(error)
    raise PluginFailed(plugin=_name(change), reason=f"{why}, route of {route.app}")


def _name(change: Any) -> str:
    change = getattr(change, "func", change)
    return str(getattr(change, "__globals__", {}).get("__paas_plugin__", "without a name"))


def _without(route: Route, keys: set[str]) -> Route:
    return replace(
        route,
        domains=tuple(item for item in route.domains if item not in keys),
        redirects=tuple(item for item in route.redirects if item.domain not in keys),
        ports=tuple(
            replace(port, domains=tuple(item for item in port.domains if f"{item}:{port.number}" not in keys))
            for port in route.ports
        ),
    )


def options(session: Session, app: App, phase: str, process_type: ProcessType | None) -> tuple[str, ...]:
    """What plugins add to `docker run` (see container_options)."""
    return tuple(_words(session, app, phase, process_type))


def _words(session: Session, app: App, phase: str, process_type: ProcessType | None) -> Iterator[str]:
    for words in call(
        session.settings,
        "paas_container_options",
        session=session,
        app=app,
        phase=phase,
        process_type=process_type,
    ):
        yield from words


def before_deploy(session: Session, app: App) -> None:
    """Raises what a plugin has against it."""
    call(session.settings, "paas_before_deploy", session=session, app=app)


def after_deploy(session: Session, app: App, release: Release) -> None:
    """What goes wrong now is only told."""
    try:
        call(session.settings, "paas_after_deploy", session=session, app=app, release=release)
    except PaasError as error:
        for line in error.lines:
            session.console.warn(line)


def create_app(session: Session, name: AppName, words: str = "") -> App:
    """A new app, of which plugins know; recorded with `words`, and so is that there is none. Raises NameTaken."""
    try:
        with session.database.transaction():
            app = session.apps.create(name)
            call(session.settings, "paas_app_created", session=session, app=app)
            session.operations.done(app, CREATION, words, session.caller)
    except PaasError as error:
        session.operations.done(None, CREATION, " ".join(filter(None, (name, words))), session.caller, str(error))
        raise
    return app


def renamed(session: Session, app: App, old_name: AppName) -> None:
    """Inside of the transaction."""
    call(session.settings, "paas_app_renamed", session=session, app=app, old_name=old_name)


def cloned(session: Session, app: App, original: App) -> None:
    """Inside of the transaction."""
    call(session.settings, "paas_app_cloned", session=session, app=app, original=original)


def destroyed(session: Session, app: App) -> None:
    """Before anything is gone."""
    call(session.settings, "paas_app_destroyed", session=session, app=app)
