"""builder:*, builder-dockerfile:* and app-json:* — how a commit becomes an image, and where its files are."""

from __future__ import annotations

from paas.commands.base import FormatOption, Group, ReportWords, session
from paas.commands.properties import add_set_command, property_flags
from paas.commands.report import Flags, report
from paas.model.access import MANAGE, REPORT
from paas.store.apps import App

BUILDER, DOCKERFILE, APP_JSON = "builder", "builder-dockerfile", "app-json"

builder = Group(BUILDER, "Choose what of a commit is built")
dockerfile = Group(DOCKERFILE, "Choose the Dockerfile that is built")
app_json = Group(APP_JSON, "Choose the app.json that is read")

add_set_command(builder, BUILDER, needs=MANAGE)
add_set_command(dockerfile, DOCKERFILE, needs=MANAGE)
add_set_command(app_json, APP_JSON, needs=MANAGE)


@builder.command("report", options_pass=True, needs=REPORT)
def builder_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show what of a commit is built."""
    report(BUILDER, words, _builder_flags, True, show_format, lambda: property_flags(BUILDER, None))


def _builder_flags(app: App) -> Flags:
    detected = "dockerfile" if session().releases.all(app) else ""
    return property_flags(BUILDER, app) | {"--builder-detected": detected}


@dockerfile.command("report", options_pass=True, needs=REPORT)
def dockerfile_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show which Dockerfile is built."""
    flags = lambda app: property_flags(DOCKERFILE, app)  # noqa: E731
    report(DOCKERFILE, words, flags, False, show_format, lambda: property_flags(DOCKERFILE, None))


@app_json.command("report", options_pass=True, needs=REPORT)
def app_json_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show which app.json is read."""
    flags = lambda app: property_flags(APP_JSON, app)  # noqa: E731
    report(APP_JSON, words, flags, True, show_format, lambda: property_flags(APP_JSON, None))
