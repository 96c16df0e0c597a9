"""docker-options:* — words for docker run and docker build that an app gets."""

from __future__ import annotations

from typing import Annotated

import typer

from paas.commands.base import FormatOption, Group, ReportWords, recorded, scoped, session, the_app
from paas.commands.report import Flags, Several, report
from paas.deploy.containers import docker_options as options
from paas.errors import PaasError, printable
from paas.model.access import MANAGE, REPORT_MANAGED
from paas.model.names import ProcessType
from paas.store.apps import App

group = Group("docker-options", "Pass options to Docker for an app's builds and containers")

Processes = Annotated[
    list[str] | None,
    typer.Option("--process", metavar="TYPE", help="Only for this process type; may be repeated"),
]
OptionWords = Annotated[
    list[str] | None, typer.Argument(metavar="APP PHASE[,PHASE] OPTION", show_default=False)
]
PhaseWords = Annotated[list[str] | None, typer.Argument(metavar="APP [PHASE[,PHASE]]", show_default=False)]


class NoOption(PaasError):
    """Please specify docker options to {verb} the phase"""


def _wanted(
    words: list[str] | None, process: list[str] | None, verb: str
) -> tuple[App, list[str], list[str]]:
    """The app, the lists that are meant, and the option's words."""
    app, rest = scoped(words, False)
    assert app is not None  # noqa: S101 - not everywhere
    scopes = options.scopes(options.parse_phases(rest[0] if rest else ""), _kinds(process))
    if not any(rest[1:]):
        raise NoOption(verb=verb)
    return app, scopes, rest[1:]


def _kinds(process: list[str] | None) -> list[ProcessType]:
    return [ProcessType.parse(kind) for kind in process or ()]


@group.command("add", raw=True)
def add(words: OptionWords = None, process: Processes = None) -> None:
    """Add an option for the phases build, deploy or run."""
    app, scopes, option = _wanted(words, process, "add to")
    flags = options.flag_names(option, scopes[0].partition(".")[0])
    with recorded(app, "docker-options:add", f"{','.join(scopes)} {flags}"):
        options.add(session(), app, scopes, option)


@group.command("remove", raw=True)
def remove(words: OptionWords = None, process: Processes = None) -> None:
    """Remove an option from phases."""
    app, scopes, option = _wanted(words, process, "remove from")
    flags = options.flag_names(option, scopes[0].partition(".")[0])
    with recorded(app, "docker-options:remove", f"{','.join(scopes)} {flags}"):
        missing = options.remove(session(), app, scopes, option)
    if missing:
        session().console.warn(f"Skipping {printable(', '.join(missing))}: the option is not among its options")


@group.command("clear")
def clear(words: PhaseWords = None, process: Processes = None) -> None:
    """Remove all options, of all phases or of some."""
    app, rest = scoped(words, False)
    assert app is not None  # noqa: S101 - not everywhere
    kinds = _kinds(process)
    named = [phase for word in rest for phase in options.parse_phases(word)]
    phases = named or ([options.PROCESS_PHASE] if kinds else list(options.PHASES))
    options.scopes(phases, kinds)
    with recorded(app, "docker-options:clear", ",".join(phases)):
        for phase in phases:
            options.clear(session(), app, phase, kinds)
    shown = [f"phase {phase}" for phase in phases] if named or kinds else ["all phases"]
    for phase in shown:
        session().console.step_header(f"Clearing docker-options for {app.name} on {phase}")


@group.command("list", needs=MANAGE)
def listed(
    app: Annotated[str, typer.Argument(metavar="APP", show_default=False)] = "",
    phase: Annotated[str, typer.Option("--phase", metavar="PHASE", help="build, deploy or run")] = "",
    process: Annotated[
        str, typer.Option("--process", metavar="TYPE", help="Those of this process type")
    ] = "",
) -> None:
    """List the options of one phase."""
    found = the_app(app)
    kinds = _kinds([process] if process else None)
    for scope in options.scopes(options.parse_phases(phase), kinds):
        for option in options.listed(session(), found, scope):
            session().console.print(option)


@group.command("report", options_pass=True, needs=REPORT_MANAGED)
def docker_options_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show the options of each phase."""
    report("docker-options", words, _flags, True, show_format)


def _flags(app: App) -> Flags:
    scopes = options.all_scopes(session(), app)
    return {
        f"--docker-options-{scope}": Several.of(options.listed(session(), app, scope)) for scope in scopes
    }
