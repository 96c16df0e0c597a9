"""logs — what an app's processes print."""

from __future__ import annotations

from typing import Annotated

import typer

from paas.commands.base import AppArgument, Group, session, the_app
from paas.deploy import logs as app_logs
from paas.errors import NotDeployed

group = Group("logs", "Show the logs of an app", bare="logs")


@group.command(":logs")
def logs(
    app: AppArgument = "",
    tail: Annotated[bool, typer.Option("--tail", "-t", help="Go on printing what comes")] = False,
    number: Annotated[int, typer.Option("--num", "-n", metavar="N", min=0, help="Lines per process")] = 100,
    process: Annotated[str, typer.Option("--ps", "-p", metavar="TYPE[.N]", help="Only these processes")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Without time and process in front")] = False,
) -> None:
    """Show the logs of an app."""
    found = the_app(app)
    if not found.deployed:
        raise NotDeployed(app=found.name)
    app_logs.show(session(), found, process, number, tail, quiet or session().console.quiet)
