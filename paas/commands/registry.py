"""registry:* — logins at registries, and pushing each release's image to one."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from paas.commands.base import (
    FormatOption,
    GlobalOption,
    Group,
    ReportWords,
    no_more,
    recorded,
    require_everything,
    session,
    the_app,
)
from paas.commands.properties import add_set_command, property_flags
from paas.commands.report import Flags, report
from paas.deploy.sources.registry_push import TAG_VERSION, image_repository, server_prefix
from paas.engine.push import log_in
from paas.errors import PaasError
from paas.model.access import MANAGE, REPORT
from paas.model.image import registry_server
from paas.model.names import printable
from paas.store.apps import App
from paas.store.logins import Logins
from paas.store.properties import GLOBAL

group = Group("registry", "Manage registry settings for an app")

MAX_PASSWORD = 64 * 1024
LoginWords = Annotated[
    list[str] | None, typer.Argument(metavar="[APP] SERVER USER [PASS]", show_default=False)
]
LogoutWords = Annotated[list[str] | None, typer.Argument(metavar="[APP] SERVER", show_default=False)]


class MissingArgument(PaasError):
    """Missing {what} argument"""


class InvalidUser(PaasError):
    """Invalid username: {text}. It has no colon and no control characters. Nothing was changed"""


@group.command("login", needs=MANAGE)
def login(
    words: LoginWords = None,
    everywhere: Annotated[bool, typer.Option("--global", help="For all apps")] = False,
    from_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input")
    ] = False,
) -> None:
    """Log in at a registry: for the pulls, builds and pushes of an app, or of all."""
    app, rest = _scope(words, everywhere, 2 if from_stdin else 3, "login")
    server, username, password = (*rest, "", "", "")[:3]
    no_more(rest[2 if from_stdin else 3 :])
    if from_stdin:
        password = "" if sys.stdin.isatty() else sys.stdin.read(MAX_PASSWORD).rstrip("\r\n")
    for what, given in (("server", server), ("username", username), ("password", password)):
        if not given:
            raise MissingArgument(what=what)
    server = registry_server(server)
    if ":" in username or not username.isprintable():
        raise InvalidUser(text=printable(username))
    log_in(session().api, server, username, password)
    with recorded(app, "registry:login", f"{server} {username}"):
        Logins(session().properties).set(app.id if app else GLOBAL, server, username, password)
    session().console.warn(f"Login Succeeded for {app.name if app else 'global registry'}")


@group.command("logout", needs=MANAGE)
def logout(words: LogoutWords = None, everywhere: GlobalOption = False) -> None:
    """Forget a login of an app, or of all."""
    app, rest = _scope(words, everywhere, 1, "logout")
    no_more(rest[1:])
    if not rest:
        raise MissingArgument(what="server")
    server = registry_server(rest[0])
    name = app.name if app else "global registry"
    with recorded(app, "registry:logout", server):
        there = Logins(session().properties).remove(app.id if app else GLOBAL, server)
    session().console.warn(
        f"Logout Succeeded for {name}" if there else f"Not logged in to {server} for {name}"
    )


def _scope(
    words: list[str] | None, everywhere: bool, count: int, command: str
) -> tuple[App | None, list[str]]:
    """The app, None for all, and the words after it. `count` words without an app mean all, the way it once was."""
    rest = list(words or [])
    if everywhere:
        require_everything()
        return None, rest
    if len(rest) == count and session().reach.everything and session().apps.find(rest[0]) is None:
        session().console.warn(f"Deprecated: please use --global flag for global registry {command}")
        return None, rest
    return the_app(rest[0] if rest else ""), rest[1:]


add_set_command(group, "registry")


@group.command("report", options_pass=True, needs=REPORT)
def registry_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show where an app's images are pushed to."""
    report("registry", words, _flags, True, show_format, _global_flags)


def _flags(app: App) -> Flags:
    return property_flags("registry", app) | {
        "--registry-computed-image-repo": image_repository(session(), app),
        "--registry-computed-server": server_prefix(session(), app.id),
        "--registry-tag-version": session().properties.get(app.id, "registry", TAG_VERSION),
    }


def _global_flags() -> Flags:
    return property_flags("registry", None) | {"--registry-computed-server": server_prefix(session(), GLOBAL)}
