"""scheduler:* and scheduler-docker-local:* — how processes are started."""

from __future__ import annotations

from paas.commands.base import FormatOption, Group, ReportWords
from paas.commands.properties import add_set_command, property_flags
from paas.commands.report import report
from paas.model.access import MANAGE, REPORT

LOCAL = "scheduler-docker-local"

group = Group("scheduler", "What starts an app's processes")
local = Group(LOCAL, "How Docker starts an app's processes")

add_set_command(group, "scheduler", needs=MANAGE)
add_set_command(local, LOCAL, needs=MANAGE)


@group.command("report", options_pass=True, needs=REPORT)
def scheduler_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show an app's scheduler."""
    flags = property_flags
    report(
        "scheduler",
        words,
        lambda app: flags("scheduler", app),
        True,
        show_format,
        lambda: flags("scheduler", None),
    )


@local.command("report", options_pass=True, needs=REPORT)
def local_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show how an app's processes are started."""
    flags = property_flags
    report(LOCAL, words, lambda app: flags(LOCAL, app), False, show_format, lambda: flags(LOCAL, None))
