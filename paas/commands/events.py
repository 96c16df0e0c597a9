"""events and trace — what happens on this installation, and what a command does."""

from __future__ import annotations

from typing import Annotated

import typer

from paas.commands.base import Group, NumberOption, recorded, session
from paas.deploy.upkeep import events
from paas.model.access import LIST
from paas.store.properties import GLOBAL

ALWAYS = "Every change is recorded, always: there is nothing to switch"

group = Group("events", "Show the changes that were made, a line each", bare="events")
trace_group = Group("trace", "Show what commands do")


@group.command(":events", needs=LIST)
def show(
    tail: Annotated[bool, typer.Option("--tail", "-t", help="Go on with what begins and ends")] = False,
    number: NumberOption = 100,
) -> None:
    """Print the last changes of all apps, oldest first: when, what, by whom, and how each ended."""
    found = list(session().operations.search(apps=session().reach.ids, limit=number))[::-1]
    for item in found:
        session().console.print(events.line(item))
    if tail:
        events.follow(session(), found)


@group.command("list", needs=LIST)
def list_kinds() -> None:
    """List the names of the changes that were recorded."""
    for kind in session().operations.kinds(session().reach.ids):
        session().console.print(kind)


@group.command("on")
def on() -> None:
    """Does nothing: changes are always recorded."""
    session().console.step(ALWAYS)


@group.command("off")
def off() -> None:
    """Does nothing: changes are always recorded."""
    session().console.warn(ALWAYS)


@trace_group.command("on")
def trace_on() -> None:
    """Run every command as with --trace: say what it asks of the engine, which programs it starts and which steps took how long."""
    _trace("true")
    session().console.step("Every command says on standard error what it asks of the engine, until trace:off")


@trace_group.command("off")
def trace_off() -> None:
    """Trace only commands that are given --trace."""
    _trace("")
    session().console.step("Commands are traced only with --trace")


def _trace(value: str) -> None:
    with recorded(None, "trace:on" if value else "trace:off"):
        session().properties.set(GLOBAL, "trace", "enabled", value)
