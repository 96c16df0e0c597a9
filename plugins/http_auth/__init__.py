"""http-auth:* — only users with a password enter an app (HTTP's basic authentication, checked by the router)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from paas.commands.base import (
    AppArgument,
    FormatOption,
    Group,
    ReportWords,
    recorded,
    session,
    the_app,
    wants_json,
)
from paas.commands.report import Flags, report
from paas.deploy.routing.ports import stored
from paas.deploy.routing.reroute import rerouted
from paas.errors import PaasError
from paas.model.access import MANAGE, REPORT
from paas.plugins import hookimpl
from paas.router.routes import User

from .passwords import hashed, user_name

if TYPE_CHECKING:
    from paas.deploy.session import Session
    from paas.router.routes import Route
    from paas.store.apps import App

NAMESPACE = "http-auth"
ENABLED, USERS = "enabled", "users"

group = Group("http-auth", "Let only users with a password enter an app")

UserArgument = Annotated[str, typer.Argument(metavar="USER", show_default=False)]
FirstUser = Annotated[
    str, typer.Argument(metavar="[USER]", show_default=False, help="Added or changed first")
]
Password = Annotated[
    str,
    typer.Argument(
        metavar="[PASSWORD]",
        show_default=False,
        help="Better on standard input, where no list of processes shows it",
    ),
]


class NoUsers(PaasError):
    """{app} has no users, so nobody could enter. Nothing was changed. Add one first: http-auth:add-user {app} USER < password"""


class LastUser(PaasError):
    """{user} is the last user of {app}, so nobody could enter. Nothing was changed. Add another one first, or let everybody in: http-auth:off {app}"""


class NoSuchUser(PaasError):
    """{app} has no user {user}. Nothing was changed. See http-auth:list {app}"""


class NeedsRouter(PaasError):
    """Without the router nobody asks for a password: the app's port is open to everybody on this machine. Nothing was changed. See proxy:report"""


@hookimpl
def paas_command_groups() -> Sequence[Group]:
    return [group]


@hookimpl
def paas_routes(session: Session, app: App | None) -> Mapping[int, Callable[[Route], Route]]:
    return {
        app_id: partial(_guarded, users=_users(found))
        for app_id, found in session.properties.by_app(NAMESPACE, app).items()
        if ENABLED in found
    }


def _guarded(route: Route, users: Mapping[str, str]) -> Route:
    return replace(route, users=tuple(User(*item) for item in sorted(users.items())))


def _users(found: Mapping[str, str]) -> dict[str, str]:
    """Names and hashes."""
    return dict(json.loads(found.get(USERS, "{}")))


def _of(app: App) -> dict[str, str]:
    return _users(session().properties.all(app.id, NAMESPACE))


def _enabled(app: App) -> bool:
    return bool(session().properties.get(app.id, NAMESPACE, ENABLED))


def _store(app: App, users: Mapping[str, str]) -> None:
    session().properties.set(app.id, NAMESPACE, USERS, json.dumps(users) if users else "")


@group.command("on", "enable", needs=MANAGE)
def on(app: AppArgument = "", user: FirstUser = "", password: Password = "") -> None:
    """Ask for a name and a password from now on."""
    found = the_app(app)
    new = {user_name(user): hashed(password)} if user else {}
    if session().router.publishes_ports:
        raise NeedsRouter()
    with recorded(found, "http-auth:on", user), rerouted(session()):
        users = _of(found) | new
        if not users:
            raise NoUsers(app=found.name)
        _store(found, users)
        session().properties.set(found.id, NAMESPACE, ENABLED, "true")
    session().console.step(f"Enabled HTTP auth for {found.name}")
    for mapping in stored(session(), found):
        if mapping.scheme in ("tcp", "udp"):
            session().console.warn(
                f"Port {mapping.host} is {mapping.scheme}: there nobody is asked for a password"
            )


@group.command("off", "disable", needs=MANAGE)
def off(app: AppArgument = "") -> None:
    """Let everybody in; the users stay for the next time."""
    found = the_app(app)
    with recorded(found, "http-auth:off"), rerouted(session()):
        session().properties.set(found.id, NAMESPACE, ENABLED, "")
    session().console.step(f"Disabled HTTP auth for {found.name}")


@group.command("add-user", needs=MANAGE)
def add_user(app: AppArgument = "", user: UserArgument = "", password: Password = "") -> None:
    """Add a user, or change a password: an argument, or a line on standard input."""
    found = the_app(app)
    name = user_name(user)
    secret = hashed(password)
    with recorded(found, "http-auth:add-user", name), rerouted(session()):
        changed = name in _of(found)
        _store(found, _of(found) | {name: secret})
    session().console.step(
        f"Changed the password of {name}" if changed else f"Added user {name} to {found.name}"
    )
    if not _enabled(found):
        session().console.detail(f"Nobody is asked yet: http-auth:on {found.name}")


@group.command("remove-user", needs=MANAGE)
def remove_user(app: AppArgument = "", user: UserArgument = "") -> None:
    """Remove a user; what was right until then is not any more."""
    found = the_app(app)
    name = user_name(user)
    with recorded(found, "http-auth:remove-user", name), rerouted(session()):
        users = _of(found)
        if users.pop(name, None) is None:
            raise NoSuchUser(app=found.name, user=name)
        if not users and _enabled(found):
            raise LastUser(app=found.name, user=name)
        _store(found, users)
    session().console.step(f"Removed user {name} from {found.name}")


@group.command("list", needs=MANAGE)
def list_users(app: AppArgument = "", show_format: FormatOption = "stdout") -> None:
    """List an app's users."""
    as_json = wants_json(show_format)
    names = sorted(_of(the_app(app)))
    if as_json:
        session().console.json(names)
        return
    for name in names:
        session().console.print(name)


@group.command("report", options_pass=True, needs=REPORT)
def auth_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show which apps ask for a password, and whom they let in."""
    report(NAMESPACE, words, _flags, False, show_format)


def _flags(app: App) -> Flags:
    return {
        "--http-auth-enabled": str(_enabled(app)).lower(),
        "--http-auth-users": " ".join(sorted(_of(app))),
    }
