"""releases and releases:rollback."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from paas.commands.base import AppArgument, FormatOption, Group, ReportWords, session, the_app, wants_json
from paas.commands.properties import add_set_command, property_flags
from paas.commands.report import report
from paas.deploy import changes
from paas.errors import NotDeployed, UsageError
from paas.model.access import DEPLOY, MANAGE, REPORT, VIEW
from paas.model.names import whole_number

group = Group("releases", "List releases and go back to one", bare="releases")
add_set_command(group, "releases", needs=MANAGE)


@group.command(":releases", needs=VIEW)
def releases(app: AppArgument = "", show_format: FormatOption = "stdout") -> None:
    """List an app's releases, newest first."""
    as_json = wants_json(show_format)
    found = the_app(app)
    rows = session().releases.all(found)
    console = session().console
    if as_json:
        console.json(
            [
                {
                    "release": item.number,
                    "status": item.status,
                    "current": item.number == found.current_release,
                    "description": item.description,
                    "commit": item.commit,
                    "image": item.image_name,
                    "image_id": item.image_id,
                    "operation": item.operation_id,
                    "created_at": item.created_at,
                }
                for item in rows
            ]
        )
        return
    console.header(f"{found.name} releases")
    table = [("Release", "Status", "What", "Image", "Created")]
    for item in rows:
        status = "current" if item.number == found.current_release else item.status
        moment = datetime.fromtimestamp(item.created_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        table.append((item.label, status, item.description, item.image_id[7:19], moment))
    console.table(table)


@group.command("rollback", needs=DEPLOY)
def rollback(
    app: AppArgument = "",
    number: Annotated[
        str, typer.Argument(metavar="[N]", show_default=False, help="Else the one before")
    ] = "",
) -> None:
    """Go back to an earlier release: its image, config and processes, as a new release."""
    found = the_app(app)
    if not found.deployed:
        raise NotDeployed(app=found.name)
    digits = number.lower().removeprefix("r").removeprefix("v")
    wanted = whole_number(digits, 1, 10**9)
    if digits and wanted is None:
        raise UsageError(f"A release is a number, for example releases:rollback {found.name} 3")
    changes.rollback(session(), found, wanted)


@group.command("report", options_pass=True, needs=REPORT)
def releases_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show how many releases are kept."""
    flags = lambda app: property_flags("releases", app)  # noqa: E731
    report("releases", words, flags, False, show_format, lambda: property_flags("releases", None))
