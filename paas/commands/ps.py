"""ps:* — an app's processes."""

from __future__ import annotations

from typing import Annotated

import typer

from paas.commands.base import AppArgument, FormatOption, Group, ReportWords, session, the_app, wants_json
from paas.commands.properties import add_set_command, property_flags
from paas.commands.report import Flags, report
from paas.deploy import changes, pipeline
from paas.deploy.health import ending
from paas.deploy.registry import IMAGE_KEY
from paas.engine.containers import ContainerState
from paas.errors import PaasError
from paas.model.names import ProcessType, printable, whole_number
from paas.store.apps import App

group = Group("ps", "Manage app processes")

MAX_COUNT = 1000
Counts = Annotated[list[str] | None, typer.Argument(metavar="TYPE=COUNT…", show_default=False)]
TypeArgument = Annotated[
    str, typer.Argument(metavar="TYPE", show_default=False, help="Only this process type")
]


class MissingCount(PaasError):
    """Missing count for process type {kind}"""


class InvalidCount(PaasError):
    """Invalid count for process type {kind}"""


class NotScalable(PaasError):
    """{kind} is not a valid process name to scale up"""


@group.command("scale")
def scale(app: AppArgument = "", counts: Counts = None, show_format: FormatOption = "stdout") -> None:
    """Show or set how many processes of each type run."""
    found = the_app(app)
    console = session().console
    if not counts:
        _show_scale(found, wants_json(show_format))
        return
    wanted = dict(_count(text) for text in counts)
    if found.deployed:
        known = session().releases.current(found).manifest.processes
        for kind, count in wanted.items():
            if count and kind not in known:
                raise NotScalable(kind=kind)
    shown = " ".join(f"{kind}={count}" for kind, count in wanted.items())
    console.step(f"Scaling {found.name} processes: {shown}")
    changes.scale(session(), found, wanted)


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


def _deployed(app: str) -> App | None:
    """The app, or None with a warning where there is nothing to act on: Dokku exits 0 then."""
    found = the_app(app)
    if not found.deployed:
        session().console.warn(f"App {found.name} has not been deployed")
        return None
    return found


@group.command("restart")
def restart(app: AppArgument = "", process_type: TypeArgument = "") -> None:
    """Replace an app's processes by new ones without losing a request."""
    found = _deployed(app)
    if found:
        kind = ProcessType.parse(process_type) if process_type else None
        if kind and kind not in session().releases.current(found).manifest.processes:
            raise PaasError(f"App {found.name} has no process type {kind}. See ps:scale {found.name}")
        changes.restart(session(), found, "ps:restart", kind)


@group.command("stop")
def stop(app: AppArgument = "") -> None:
    """Stop an app's processes until ps:start."""
    found = _deployed(app)
    if found:
        session().console.step(f"Stopping {found.name}")
        changes.stop(session(), found)


@group.command("start")
def start(app: AppArgument = "") -> None:
    """Start a stopped app."""
    found = _deployed(app)
    if found is None:
        return
    if not found.stopped:
        session().console.warn(f"App {found.name} already running")
        return
    changes.restart(session(), found, "ps:start")


@group.command("rebuild")
def rebuild(app: AppArgument = "") -> None:
    """Pull the app's image again, or build its newest commit again, and release it."""
    found = the_app(app)
    if session().config(found).get(IMAGE_KEY) or _deployed(app):
        pipeline.rebuild(session(), found)


add_set_command(group, "ps")


@group.command("report", options_pass=True)
def ps_report(
    words: ReportWords = None,
    show_format: FormatOption = "stdout",
) -> None:
    """Show what runs."""
    report("ps", words, _flags, True, show_format, lambda: property_flags("ps", None))


def _status(container_id: str, state: ContainerState | None) -> str:
    """``running (CID: …)`` as Dokku prints it; a process that keeps ending says so."""
    text = f"{state.status if state else 'missing'} (CID: {container_id[:11]})"
    if state and not state.running:
        text += f", {ending(state)}, it is started again ever less often"
    elif state and state.restarts:
        text += f", started again {state.restarts} times"
    return text


def _flags(app: App) -> Flags:
    processes = session().releases.processes(app.id)
    states = {item.name: session().containers.find(item.container_id) for item in processes}
    running = [state is not None and state.running for state in states.values()]
    mixed = "mixed" if any(running) and not all(running) else str(bool(running) and all(running)).lower()
    flags = {
        "--deployed": str(app.deployed).lower(),
        "--processes": str(len(processes)),
        "--ps-can-scale": "true",
        "--restore": str(not app.stopped).lower(),
        "--running": mixed,
    }
    for item in processes:
        state = states[item.name]
        flags[f"--status-{item.name}"] = _status(item.container_id, state)
    flags |= property_flags("ps", app)
    del flags["--ps-restore"], flags["--ps-computed-restore"]
    return flags
