"""logs:report and logs:set — how much of an app's logs Docker keeps."""

from __future__ import annotations

from paas.commands.base import FormatOption, ReportWords, session
from paas.commands.logs import group
from paas.commands.properties import add_set_command, property_flags
from paas.commands.report import Flags, report
from paas.model.access import MANAGE, REPORT
from paas.store.apps import App
from paas.store.properties import GLOBAL

GLOBAL_KEYS = ("vector-image", "vector-networks")

add_set_command(group, "logs", needs=MANAGE)


@group.command("report", options_pass=True, needs=REPORT)
def logs_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show how an app's logs are kept."""
    report("logs", words, _flags, True, show_format, lambda: _flags(None))


def _flags(app: App | None) -> Flags:
    computed = session().properties.computed
    flags = property_flags("logs", app)
    # Of what can only be set for all apps, Dokku's report has a computed value too.
    return flags | {f"--logs-computed-{key}": computed(GLOBAL, "logs", key) for key in GLOBAL_KEYS}
