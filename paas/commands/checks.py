"""checks:* — whether new processes are checked before they serve, and whether old ones wait for them."""

from __future__ import annotations

from typing import Annotated

import typer

from paas.commands.base import AppArgument, FormatOption, Group, ReportWords, recorded, session, the_app
from paas.commands.properties import add_set_command, property_flags
from paas.commands.report import Flags, report
from paas.deploy.routing import checks
from paas.deploy.routing.check_run import run_checks
from paas.errors import REFUSED, NotDeployed
from paas.model.access import DEPLOY, MANAGE, REPORT
from paas.model.names import ProcessType
from paas.store.apps import App

group = Group("checks", "Manage zero-downtime settings")

TypesArgument = Annotated[str, typer.Argument(metavar="[TYPE,…]", show_default=False)]
ProcessesArgument = Annotated[str, typer.Argument(metavar="[TYPE[.N],…]", show_default=False)]
VERBS: dict[checks.State, str] = {"disabled": "Disabling", "enabled": "Enabling", "skipped": "Skipping"}


@group.command("disable", needs=MANAGE)
def disable(app: AppArgument = "", types: TypesArgument = "") -> None:
    """Stop the old processes before new ones start, and do not check these."""
    _change("checks:disable", app, types, "disabled")


@group.command("enable", needs=MANAGE)
def enable(app: AppArgument = "", types: TypesArgument = "") -> None:
    """Check new processes before they serve, as is usual."""
    _change("checks:enable", app, types, "enabled")


@group.command("skip", needs=MANAGE)
def skip(app: AppArgument = "", types: TypesArgument = "") -> None:
    """Let new processes serve without a check."""
    _change("checks:skip", app, types, "skipped")


def _change(kind: str, name: str, types: str, state: checks.State) -> None:
    app = the_app(name)
    kinds = [ProcessType.parse(word) for word in types.split(",")] if types else []
    with recorded(app, kind, types):
        checks.change(session(), app.id, state, kinds)
    whom = f"app's ({app.name}) proctypes ({','.join(kinds)})" if kinds else f"app ({app.name})"
    session().console.step(f"{VERBS[state]} zero downtime for {whom}")


@group.command("run", needs=DEPLOY)
def run(app: AppArgument = "", processes: ProcessesArgument = "") -> int:
    """Run the checks of an app's serving processes (exit 1 where one fails)."""
    found = the_app(app)
    if not found.deployed:
        raise NotDeployed(app=found.name)
    failed = run_checks(session(), found, processes.split(",") if processes else [])
    return REFUSED if failed else 0


add_set_command(group, "checks", needs=MANAGE)


@group.command("report", options_pass=True, needs=REPORT)
def checks_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show for which process types checks are disabled or skipped."""
    report("checks", words, _flags, False, show_format, lambda: property_flags("checks", None))


def _flags(app: App) -> Flags:
    return property_flags("checks", app) | {
        "--checks-disabled-list": checks.listed(session(), app.id, "disabled"),
        "--checks-skipped-list": checks.listed(session(), app.id, "skipped"),
    }
