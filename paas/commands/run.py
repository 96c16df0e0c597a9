"""run:* and enter — a shell or a command in a throw-away container, or in a running one."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from paas.commands.base import AppArgument, FormatOption, Group, session, the_app, wants_json
from paas.deploy.containers import one_off, run_containers
from paas.deploy.containers.run_containers import RunContainer
from paas.deploy.upkeep.logs import stream
from paas.model.access import DEPLOY, MANAGE, VIEW, Role

group = Group("run", "Run a one-off process inside a container", bare="run")
enter_group = Group("enter", "Enter running app containers", bare="enter")

DAY_SECONDS = 24 * 3600
COMMAND_WIDTH = 20

Words = Annotated[list[str] | None, typer.Argument(metavar="APP COMMAND…", show_default=False)]
EnterWords = Annotated[
    list[str] | None,
    typer.Argument(metavar="APP [TYPE[.N]|--container-id ID] [COMMAND…]", show_default=False),
]
EnvOption = Annotated[
    list[str] | None, typer.Option("--env", "-e", metavar="KEY=VALUE", help="Set for this run")
]
LabelOption = Annotated[
    list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="A label of its container")
]
NoTtyOption = Annotated[bool, typer.Option("--no-tty", help="Without a terminal, even if there is one")]
ForceTtyOption = Annotated[bool, typer.Option("--force-tty", help="With a terminal of its own")]
TtlOption = Annotated[
    int | None,
    typer.Option("--ttl-seconds", metavar="N", min=1, max=10 * 365 * DAY_SECONDS, help="Killed then"),
]
DetachedTtlOption = Annotated[
    int, typer.Option("--ttl-seconds", metavar="N", min=1, max=10 * 365 * DAY_SECONDS, help="Killed then")
]
ContainerOption = Annotated[str, typer.Option("--container", metavar="NAME", help="Only this one")]
MaybeApp = Annotated[str, typer.Argument(metavar="[APP]", show_default=False)]


@group.command(":run", raw=True, needs=MANAGE)
def run(
    words: Words = None,
    env: EnvOption = None,
    label: LabelOption = None,
    no_tty: NoTtyOption = False,
    force_tty: ForceTtyOption = False,
    ttl_seconds: TtlOption = None,
) -> int:
    """Run a command in a new container of the app's current release, and pass its exit code on."""
    rest = list(words or [])
    app = the_app(rest[0] if rest else "")
    terminal = force_tty or (not no_tty and os.isatty(0))
    options = one_off.Options(env or (), label or (), terminal, ttl_seconds)
    return one_off.run(session(), app, rest[1:], options)


@group.command("detached", raw=True, needs=MANAGE)
def detached(
    words: Words = None,
    env: EnvOption = None,
    label: LabelOption = None,
    no_tty: NoTtyOption = False,
    force_tty: ForceTtyOption = False,
    ttl_seconds: DetachedTtlOption = DAY_SECONDS,
) -> None:
    """Run a command in the background, for a day at the most, and print its container's name."""
    rest = list(words or [])
    app = the_app(rest[0] if rest else "")
    options = one_off.Options(env or (), label or (), force_tty and not no_tty, ttl_seconds)
    session().console.print(one_off.run_detached(session(), app, rest[1:], options))


@group.command("list", needs=VIEW)
def list_containers(app: AppArgument = "", show_format: FormatOption = "stdout") -> None:
    """List an app's run containers; those that ended are there for ten minutes."""
    as_json = wants_json(show_format)
    found = the_app(app)
    items = run_containers.run_containers(session(), found)
    if as_json:
        session().console.json([_json(item) for item in items])
        return
    session().console.header(f"{found.name} run containers")
    rows = [("NAMES", "COMMAND", "CREATED"), *(_row(item) for item in items)]
    widths = [max(map(len, column)) + 3 for column in zip(*rows, strict=True)]
    for row in rows:
        session().console.print("".join(map(str.ljust, row, widths)).rstrip())


def _json(item: RunContainer) -> dict[str, str]:
    created = datetime.fromtimestamp(item.created, UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
    return {"name": item.name, "state": item.state, "command": f'"{item.command}"', "created_at": created}


def _row(item: RunContainer) -> tuple[str, str, str]:
    """As docker ps prints it."""
    command = item.command
    if len(command) > COMMAND_WIDTH:
        command = command[: COMMAND_WIDTH - 1] + "…"
    return item.name, f'"{command}"', f"{ago(time.time() - item.created)} ago"


def ago(seconds: float) -> str:
    """``About a minute``, ``5 hours``: as Docker says how long something takes."""
    if seconds < 1:
        return "Less than a second"
    minutes, hours, days = int(seconds / 60), round(seconds / 3600), int(seconds / DAY_SECONDS)
    for count, limit, unit in ((int(seconds), 60, "second"), (minutes, 60, "minute"), (hours, 48, "hour")):
        if count < limit:
            if count == 1:
                return "1 second" if unit == "second" else f"About {'an' if unit == 'hour' else 'a'} {unit}"
            return f"{count} {unit}s"
    return f"{days} days"


def _chosen(app: str, container: str) -> list[RunContainer]:
    """The containers of ``APP|--container NAME``."""
    if container:
        return [run_containers.run_container(session(), container)]
    return run_containers.run_containers(session(), the_app(app))


@group.command("logs", needs=VIEW.unless(Role.ADMIN, "container"))
def logs(
    app: MaybeApp = "",
    container: ContainerOption = "",
    tail: Annotated[bool, typer.Option("--tail", "-t", help="Go on printing what comes")] = False,
    number: Annotated[int, typer.Option("--num", "-n", metavar="N", min=0, help="Lines per container")] = 100,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Without time and container in front")] = False,
) -> None:
    """Show what an app's run containers, or one of them, print."""
    sources = [(item.log_name, item.id) for item in _chosen(app, container)]
    stream(session(), sources, number, tail, quiet or session().console.quiet)


@group.command("stop", needs=MANAGE.unless(Role.ADMIN, "container"))
def stop(app: MaybeApp = "", container: ContainerOption = "") -> None:
    """Stop and remove an app's run containers, or one of them."""
    for item in _chosen(app, container):
        session().console.step(f"Stopping {item.name}")
        run_containers.stop(session(), item)


@group.command("retire", needs=DEPLOY)
def retire(app: MaybeApp = "") -> None:
    """Remove the run containers that have ended or are out of time, of an app or of all."""
    run_containers.sweep(session(), the_app(app) if app else None, keep_seconds=0)


@enter_group.command(":enter", raw=True, needs=MANAGE)
def enter(words: EnterWords = None) -> int:
    """Run a shell or a command in a running container of the app."""
    rest = list(words or [])
    app = the_app(rest[0] if rest else "")
    return one_off.enter(session(), app, rest[1:], terminal=os.isatty(0))
