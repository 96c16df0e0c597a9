"""cleanup, report and plugin:* — about the installation as a whole."""

from __future__ import annotations

from typing import Annotated

import typer

from paas import __version__
from paas.commands.base import FormatOption, Group, known, no_more, recorded, session, the_app, wants_json
from paas.deploy import cleanup as cleaning
from paas.deploy import host
from paas.errors import REFUSED, UsageError

cleanup_group = Group("cleanup", "Remove ended containers and nameless images of paas", bare="cleanup")
report_group = Group("report", "Show the machine, the versions and all reports", bare="report")
plugin_group = Group("plugin", "List the parts of paas")

OptionalApp = Annotated[str, typer.Argument(metavar="[APP]", show_default=False)]
INTERNAL = ("git-transport", "help")


@cleanup_group.command(":cleanup")
def cleanup(app: OptionalApp = "") -> None:
    """Remove what killed or failed work has left on the engine, of one app or of all."""
    found = the_app(app) if app else None
    session().console.step("Cleaning up...")
    with recorded(found, "cleanup"):
        containers, images = cleaning.cleanup(session(), found)
    session().console.detail(f"Removed containers: {containers}, images: {images}")


@report_group.command(":report")
def report(
    app: OptionalApp = "",
    everything: Annotated[bool, typer.Option("--all", help="With every app's reports")] = False,
) -> None:
    """Show the machine and the versions, and with an app every report about it."""
    if app and everything:
        raise UsageError("Give an app or --all, not both")
    apps = [the_app(app)] if app else session().apps.all() if everything else []
    for name, value in host.facts(session()).items():
        session().console.step(f"{name}: {value}")
    for item in apps:
        for group in sorted(known.values(), key=lambda group: group.name):
            for command in group.commands:
                if command.name == f"{group.name}:report":
                    command.function([str(item.name)])


@plugin_group.command("list")
def plugin_list(show_format: FormatOption = "stdout") -> None:
    """List the parts of paas; all are built in and have its version."""
    as_json = wants_json(show_format)
    groups = [group for name, group in sorted(known.items()) if name not in INTERNAL]
    if as_json:
        session().console.json(
            [
                {"name": item.name, "version": __version__, "enabled": True, "description": item.summary}
                for item in groups
            ]
        )
        return
    for item in groups:
        session().console.print(f"  {item.name:<20} {__version__} enabled    {item.summary}")


@plugin_group.command("installed")
def plugin_installed(
    words: Annotated[list[str] | None, typer.Argument(metavar="NAME", show_default=False)] = None,
) -> int:
    """Say by the exit code whether paas has a part of this name."""
    name, *rest = words or [""]
    no_more(rest)
    if not name:
        raise UsageError("Please give a name. See the list with plugin:list")
    return 0 if name in known and name not in INTERNAL else REFUSED
