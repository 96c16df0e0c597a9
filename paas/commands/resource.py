"""resource:* — how much of the machine an app's processes may use."""

from __future__ import annotations

from typing import Annotated

import typer

from paas.commands.base import AppArgument, FormatOption, Group, ReportWords, recorded, session, the_app
from paas.commands.report import Flags, report
from paas.deploy.containers import resources
from paas.deploy.containers.resources import DEFAULT, Which
from paas.model.access import MANAGE, REPORT
from paas.model.names import ProcessType
from paas.store.apps import App

group = Group("resource", "Limit or reserve resources for an app's processes")

NOUNS: dict[Which, str] = {"limit": "limits", "reserve": "reservation"}

ProcessOption = Annotated[
    str, typer.Option("--process-type", metavar="TYPE", help="Only for this process type")
]
Cpu = Annotated[str, typer.Option("--cpu", metavar="N", help="Processors, like 0.5")]
Memory = Annotated[str, typer.Option("--memory", metavar="SIZE", help="Memory, in megabytes without a unit")]
MemorySwap = Annotated[
    str, typer.Option("--memory-swap", metavar="SIZE", help="Memory and swap, -1: no limit")
]
Network = Annotated[str, typer.Option("--network", metavar="N", help="Stored only: Docker can't limit it")]
Ingress = Annotated[str, typer.Option("--network-ingress", metavar="N", help="Stored only")]
Egress = Annotated[str, typer.Option("--network-egress", metavar="N", help="Stored only")]
Gpu = Annotated[str, typer.Option("--nvidia-gpu", metavar="N", help="Graphics processors, a number or all")]


def _add_command(which: Which, summary: str) -> None:
    """Register `resource:limit` or `resource:reserve`."""

    def change(
        app: AppArgument = "",
        process_type: ProcessOption = "",
        cpu: Cpu = "",
        memory: Memory = "",
        memory_swap: MemorySwap = "",
        network: Network = "",
        network_ingress: Ingress = "",
        network_egress: Egress = "",
        nvidia_gpu: Gpu = "",
    ) -> None:
        values = (cpu, memory, memory_swap, network, network_ingress, network_egress, nvidia_gpu)
        _change(which, app, process_type, values)

    change.__doc__ = summary
    group.command(which, needs=MANAGE)(change)


_add_command("limit", "Show or set what processes may use at most; the value clear removes a limit.")
_add_command("reserve", "Show or set what processes get at least; the value clear removes a reservation.")


def _change(which: Which, name: str, process_type: str, values: tuple[str, ...]) -> None:
    """Set the values that are given, in the order of `resources.READ`; show all where none is."""
    app, kind, console = the_app(name), _kind(process_type), session().console
    wanted = {key: value for key, value in zip(resources.READ, values, strict=True) if value}
    of = "" if kind == DEFAULT else f" ({kind})"
    if not wanted:
        console.header(f"resource {NOUNS[which]} {app.name} information{of or ' [defaults]'}")
        for key, value in resources.own(session(), app.id, kind, which).items():
            console.detail(f"{key}: {value}")
        return
    shown = " ".join(f"--{key}={value}" for key, value in wanted.items())
    with recorded(app, f"resource:{which}", f"{kind} {shown}"):
        resources.change(session(), app, kind, which, wanted)
    console.header(f"Setting resource {NOUNS[which]} for {app.name}{of}")
    for key, value in wanted.items():
        console.detail(f"{key}: {'cleared' if value == resources.CLEAR else value}")
    unused = [key for key in wanted if key not in resources.WITH_EFFECT[which]]
    if unused:
        console.warn(
            f"Docker has no {NOUNS[which]} of {', '.join(unused)}: it is stored, and shown in reports"
        )
    limits = resources.effective(session(), app.id, kind, "limit")
    if "memory-swap" in wanted and "memory-swap" in limits and "memory" not in limits:
        console.warn("memory-swap has no effect until memory is limited too")


def _kind(process_type: str) -> str:
    return ProcessType.parse(process_type) if process_type else DEFAULT


@group.command("limit-clear", needs=MANAGE)
def limit_clear(app: AppArgument = "", process_type: ProcessOption = "") -> None:
    """Remove the limits of all process types or of one."""
    _clear("limit", app, process_type)


@group.command("reserve-clear", needs=MANAGE)
def reserve_clear(app: AppArgument = "", process_type: ProcessOption = "") -> None:
    """Remove the reservations of all process types or of one."""
    _clear("reserve", app, process_type)


def _clear(which: Which, name: str, process_type: str) -> None:
    app = the_app(name)
    kind = ProcessType.parse(process_type) if process_type else None
    with recorded(app, f"resource:{which}-clear", kind or ""):
        resources.clear(session(), app, kind, which)
    session().console.header(f"clearing {app.name} {NOUNS[which]}{f' ({kind})' if kind else ''}")


@group.command("report", options_pass=True, needs=REPORT)
def resource_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show the limits and reservations of each process type."""
    report("resource", words, _flags, True, show_format)


def _flags(app: App) -> Flags:
    stored = session().properties.all(app.id, resources.NAMESPACE)
    return {f"--resource-{key}": value for key, value in stored.items()}
