"""logs — what an app's processes print."""

from __future__ import annotations

from typing import Annotated

import typer

from paas.commands.base import (
    AllOption,
    AppArgument,
    FormatOption,
    Group,
    aptible_style,
    session,
    the_app,
    the_apps,
    wants_json,
)
from paas.deploy.routing import traffic
from paas.deploy.upkeep import logs as app_logs
from paas.errors import NotDeployed, PaasError
from paas.model.access import VIEW, VIEW_SOME

group = Group("logs", "Show the logs of an app", bare="logs")


class NoLogsYet(PaasError):
    """Unable to retrieve logs. Have you deployed {app} yet?"""


class OnlyOfRequests(PaasError):
    """What processes print has no JSON form. Leave --format out, or add --router for the requests"""


@group.command(":logs", needs=VIEW)
def logs(
    app: AppArgument = "",
    tail: Annotated[bool, typer.Option("--tail", "-t", help="Go on printing what comes")] = False,
    number: Annotated[int, typer.Option("--num", "-n", metavar="N", min=0, help="Lines per process")] = 100,
    process: Annotated[str, typer.Option("--ps", "-p", metavar="TYPE[.N]", help="Only these processes")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Without time and process in front")] = False,
    router: Annotated[bool, typer.Option("--router", help="The requests that the router answered")] = False,
    show_format: FormatOption = "stdout",
) -> None:
    """Show the logs of an app."""
    as_json = wants_json(show_format)
    found = the_app(app)
    if router:
        traffic.show_requests(session(), found, number, tail, as_json)
        return
    if as_json:
        raise OnlyOfRequests()
    if not found.deployed and aptible_style():
        raise NoLogsYet(app=found.name)
    if not found.deployed:
        raise NotDeployed(app=found.name)
    app_logs.show(session(), found, process, number, tail, quiet or session().console.quiet)


@group.command("failed", needs=VIEW_SOME)
def failed(app: AppArgument = "", everywhere: AllOption = False) -> None:
    """Show what the last deploy that failed has said, of an app or of all."""
    for found in the_apps(app, everywhere):
        app_logs.show_failed(session(), found)
