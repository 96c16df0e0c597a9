"""builds:* — what was built or brought into service, and what it said."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from paas.commands.base import (
    AppArgument,
    FormatOption,
    Group,
    ReportWords,
    every_app,
    recorded,
    session,
    the_app,
    wants_json,
)
from paas.commands.properties import add_set_command, property_flags
from paas.commands.report import Flags, report
from paas.deploy.upkeep import builds
from paas.errors import UsageError
from paas.model.access import DEPLOY, MANAGE, REPORT, VIEW, VIEW_SOME, Role
from paas.model.build import KINDS, STATUSES, Build, duration, flags, moment
from paas.store.apps import App
from paas.store.builds import Builds

group = Group("builds", "List, read and cancel builds")
IdArgument = Annotated[
    str, typer.Argument(metavar="ID", show_default=False, help="The build's id, or current")
]


@group.command("list", needs=VIEW_SOME)
def list_builds(
    app: Annotated[str, typer.Argument(metavar="[APP]", show_default=False)] = "",
    show_format: FormatOption = "stdout",
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help=" or ".join(KINDS))] = "",
    status: Annotated[str, typer.Option("--status", metavar="STATUS", help=", ".join(STATUSES))] = "",
) -> None:
    """List an app's builds, newest first; without an app those that run now."""
    as_json = wants_json(show_format)
    for given, valid in ((kind, KINDS), (status, STATUSES)):
        if given and given not in valid:
            raise UsageError(f"Expected one of {', '.join(valid)}")
    found = builds.builds(session(), the_app(app)) if app else _open()
    shown = [item for item in found if kind in ("", item.kind) and status in ("", item.status)]
    now = time.time()
    if as_json:
        session().console.json([item.to_json(now) for item in shown])
    elif shown:
        rows = [("Build ID", "Kind", "Status", "PID", "Source", "Started", "Duration")]
        session().console.table(rows + [_row(item, now) for item in shown])
    else:
        none = "No builds recorded for this app" if app else "No builds currently running"
        session().console.print(none)


def _open() -> list[Build]:
    """The builds that run now, of the apps that the caller sees."""
    store, ids = Builds(session().database), session().reach.ids
    return store.open() if ids is None else [item for app_id in ids for item in store.open(app_id)]


def _row(item: Build, now: float) -> tuple[str, ...]:
    started, took = moment(item.started_at) or "", duration(item.seconds(now))
    return item.id, item.kind, item.display_status, str(item.pid), item.source, started, took


@group.command("info", needs=VIEW)
def info(app: AppArgument = "", build_id: IdArgument = "", show_format: FormatOption = "stdout") -> None:
    """Show one build."""
    found = the_app(app)
    build = builds.find(session(), found, build_id)
    if wants_json(show_format):
        session().console.json(build.to_json(time.time()))
        return
    report("build", [found.name], lambda _: flags(build))


@group.command("output", needs=VIEW)
def output(app: AppArgument = "", build_id: IdArgument = "") -> None:
    """Print what a build said, the newest one's without an id; one that runs is followed to its end."""
    builds.output(session(), the_app(app), build_id)


@group.command("cancel", needs=DEPLOY)
def cancel(app: AppArgument = "") -> None:
    """Cancel the build that runs; what it began is undone, unless it has switched already."""
    builds.cancel(session(), the_app(app))


@group.command("prune", needs=MANAGE.unless(Role.ADMIN, "all_apps"))
def prune(
    app: AppArgument = "",
    all_apps: Annotated[bool, typer.Option("--all-apps", help="Also of apps that are gone")] = False,
) -> None:
    """Remove the output of builds and other changes beyond the retention; that they were made stays recorded."""
    apps = every_app() if all_apps else [the_app(app)]
    with recorded(None if all_apps else apps[0], "builds:prune", "--all-apps" if all_apps else ""):
        removed = sum(builds.prune(session(), item) for item in apps)
        removed += Builds(session().database).prune_gone() if all_apps else 0
    session().console.step_header(f"Removed the output of {removed} operations")


add_set_command(group, "builds", needs=MANAGE)


@group.command("report", options_pass=True, needs=REPORT)
def builds_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show an app's newest build and how many are kept."""
    report("builds", words, _flags, True, show_format, lambda: property_flags("builds", None))


def _flags(app: App) -> Flags:
    newest = Builds(session().database).of(app.id, 1)
    return flags(newest[0] if newest else None) | property_flags("builds", app)
