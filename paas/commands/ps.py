"""ps:* — an app's processes."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from paas.commands.base import AppArgument, FormatOption, Group, ReportWords, session, the_app, wants_json
from paas.commands.properties import add_set_command, property_flags
from paas.commands.report import Flags, report
from paas.deploy import changes
from paas.deploy.health import ending
from paas.deploy.routing.traffic import NOTHING, summary
from paas.deploy.upkeep.inspection import inspection
from paas.engine.containers import LABEL_ROOT, ContainerState
from paas.errors import NotDeployed, PaasError
from paas.model.access import DEPLOY, MANAGE, REPORT
from paas.model.names import ProcessType, printable, whole_number
from paas.model.release import Process
from paas.store.apps import App

group = Group("ps", "Manage app processes")

MAX_COUNT = 1000
Counts = Annotated[list[str] | None, typer.Argument(metavar="TYPE=COUNT…", show_default=False)]
SkipDeployOption = Annotated[
    bool, typer.Option("--skip-deploy", help="Store only; used from the next deploy on")
]


class MissingCount(PaasError):
    """Missing count for process type {kind}"""


class InvalidCount(PaasError):
    """Invalid count for process type {kind}"""


class NotScalable(PaasError):
    """{kind} is not a valid process name to scale up"""


@group.command("scale", needs=DEPLOY)
def scale(
    app: AppArgument = "",
    counts: Counts = None,
    skip_deploy: SkipDeployOption = False,
    show_format: FormatOption = "stdout",
) -> None:
    """Show or set how many processes of each type run."""
    found = the_app(app)
    console = session().console
    if not counts:
        _show_scale(found, wants_json(show_format))
        return
    wanted = dict(_count(text) for text in counts)
    changes.require_scalable(session(), found)
    if found.deployed:
        known = session().releases.current(found).manifest.processes
        for kind, count in wanted.items():
            if count and kind not in known:
                raise NotScalable(kind=kind)
    shown = " ".join(f"{kind}={count}" for kind, count in wanted.items())
    console.step(f"Scaling {found.name} processes: {shown}")
    changes.scale(session(), found, wanted, skip_deploy=skip_deploy)


def _show_scale(app: App, as_json: bool) -> None:
    console = session().console
    formation = session().apps.formation(app)
    if as_json:
        console.json([{"process_type": kind, "quantity": count} for kind, count in formation.items()])
        return
    console.step_header(f"Scaling for {app.name}")
    if not console.quiet:
        console.print("proctype: qty")
        console.print("--------: ---")
    for kind, count in formation.items():
        console.print(f"{kind + ':':<5} {count}")


def _count(text: str) -> tuple[ProcessType, int]:
    name, separator, number = text.partition("=")
    kind = ProcessType.parse(name)
    if not separator or not number:
        raise MissingCount(kind=kind)
    count = whole_number(number, 0, MAX_COUNT)
    if count is None:
        raise InvalidCount(kind=printable(name))
    return kind, count


add_set_command(group, "ps", needs=MANAGE)


@group.command("inspect", needs=MANAGE)
def inspect(app: AppArgument = "") -> None:
    """Show all that the engine knows of an app's containers, without the values of its variables."""
    found = the_app(app)
    if not found.deployed:
        raise NotDeployed(app=found.name)
    session().console.print(json.dumps(inspection(session(), found), indent=4, sort_keys=True))


@group.command("report", options_pass=True, needs=REPORT)
def ps_report(
    words: ReportWords = None,
    show_format: FormatOption = "stdout",
) -> None:
    """Show what runs; of a single app also how often a process was started again."""
    look = _Look()
    report("ps", words, look.flags, True, show_format, lambda: property_flags("ps", None), look.at)


def _status(container_id: str, state: ContainerState | None) -> str:
    """``running (CID: …)`` as Dokku prints it; a process that keeps ending says so."""
    text = f"{state.status if state else 'missing'} (CID: {container_id[:11]})"
    if state and not state.running:
        text += f", {ending(state)}, it is started again ever less often"
    elif state and state.restarts:
        text += f", started again {state.restarts} time{'' if state.restarts == 1 else 's'}"
    return text


def _traffic_flags(app: App) -> Flags:
    """Requests since the router's worker started, and milliseconds at percentiles of the newest ones."""
    found = summary(session().traffic(app) or NOTHING)
    return {f"--router-{name.replace('_', '-')}": str(value) for name, value in found.items()}


class _Look:
    """The processes and their containers: those of one app by inspection, those of several by one question."""

    def __init__(self) -> None:
        self.processes: dict[int, list[Process]] = {}
        self.listed: dict[str, ContainerState] | None = None

    def at(self, apps: list[App]) -> None:
        if len(apps) < 2:
            self.processes = {app.id: session().releases.processes(app.id) for app in apps}
            return
        # Before the containers: what a deploy makes meanwhile must not look as if it were missing.
        for process in session().releases.all_processes():
            self.processes.setdefault(process.app_id, []).append(process)
        labels = {LABEL_ROOT: str(session().settings.root)}
        self.listed = {item.id: item for item in session().containers.states(labels)}

    def state(self, container_id: str) -> ContainerState | None:
        if self.listed is not None:
            known = self.listed.get(container_id)
            if known is None or known.status == "running":
                return known
        return session().containers.find(container_id)

    def flags(self, app: App) -> Flags:
        processes = self.processes.get(app.id, [])
        return _flags(app, processes, {item.name: self.state(item.container_id) for item in processes})


def _flags(app: App, processes: list[Process], states: dict[str, ContainerState | None]) -> Flags:
    running = [state is not None and state.running for state in states.values()]
    mixed = "mixed" if any(running) and not all(running) else str(bool(running) and all(running)).lower()
    flags = {
        "--deployed": str(app.deployed).lower(),
        "--processes": str(len(processes)),
        "--ps-can-scale": str(changes.can_scale(session(), app)).lower(),
        "--restore": "false" if app.stopped else session().properties.computed(app.id, "ps", "restore"),
        "--running": mixed,
    }
    for item in processes:
        state = states[item.name]
        flags[f"--status-{item.name}"] = _status(item.container_id, state)
    flags |= _traffic_flags(app) | property_flags("ps", app)
    del flags["--ps-restore"], flags["--ps-computed-restore"]
    return flags
