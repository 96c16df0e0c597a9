"""cleanup and report — about the installation as a whole."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from paas import __version__
from paas.commands.base import Command, Group, every_app, known, recorded, session, the_app
from paas.console import size
from paas.deploy.build_cache import trim
from paas.deploy.upkeep import cleanup as cleaning
from paas.deploy.upkeep import host
from paas.errors import UsageError
from paas.model.access import VIEW_SOME

cleanup_group = Group("cleanup", "Remove ended containers and nameless images of paas", bare="cleanup")
report_group = Group("report", "Show the machine, the versions and all reports", bare="report")

OptionalApp = Annotated[str, typer.Argument(metavar="[APP]", show_default=False)]


@cleanup_group.command(":cleanup")
def cleanup(app: OptionalApp = "") -> None:
    """Remove what killed or failed work has left on the engine, of one app or of all."""
    found = the_app(app) if app else None
    session().console.step("Cleaning up...")
    with recorded(found, "cleanup"):
        containers, images = cleaning.cleanup(session(), found)
        freed = 0 if found else trim(session())
    session().console.detail(f"Removed containers: {containers}, images: {images}")
    if freed:
        session().console.detail(f"Freed of the builder's cache: {size(freed)}")


@report_group.command(":report", needs=VIEW_SOME)
def report(
    app: OptionalApp = "",
    everything: Annotated[bool, typer.Option("--all", help="With every app's reports")] = False,
) -> None:
    """Show the machine and the versions, and with an app every report about it."""
    if app and everything:
        raise UsageError("Give an app or --all, not both")
    apps = [the_app(app)] if app else every_app() if everything else []
    # The machine is the administrators' matter.
    facts = host.facts(session()) if session().reach.everything else {"paas version": __version__}
    for name, value in facts.items():
        session().console.step(f"{name}: {value}")
    for item in apps:
        for command in _reports():
            if item.id in session().reach.at(command.needs.role):
                command.function([str(item.name)])


def _reports() -> list[Command]:
    """Those that are about apps, by their names."""
    groups = sorted(known.values(), key=lambda group: group.name)
    every = [command for group in groups for command in group.commands if command.name == f"{group.name}:report"]
    return [command for command in every if _is_about_apps(command.function)]


def _is_about_apps(function: Callable[..., object]) -> bool:
    """Whether a report takes the words that name an app; others are about the machine."""
    return next(iter(inspect.signature(function).parameters), "") == "words"
