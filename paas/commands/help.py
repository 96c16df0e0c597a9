"""help, GROUP:help, and the answer to what is no command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from paas.commands import unsupported
from paas.commands.base import Command, Group, session
from paas.console import Console
from paas.errors import REFUSED
from paas.model.access import ANYONE
from paas.model.names import printable

HIDDEN_GROUPS = ("git-transport",)
USAGE = "Usage: paas [--quiet|--trace|--force|--no-wait] COMMAND <app> [command-specific-options]"
NAME_WIDTH = 24


Usage = Callable[[Command], str]


def register_help(groups: dict[str, Group], usage: Usage) -> None:
    """Add `help` and each group's `GROUP:help`. `usage` says how a command is typed."""
    for group in list(groups.values()):
        if any(command.name == f"{group.name}:help" for command in group.commands):
            continue
        group.commands.append(Command(f"{group.name}:help", _group_help(group, usage), hidden=True, needs=ANYONE))
    top = Group("help", "Print the list of commands", bare="help")

    @top.command(":help", needs=ANYONE)
    def show_help(
        name: Annotated[str, typer.Argument(metavar="[COMMAND]", show_default=False)] = "",
        everything: Annotated[bool, typer.Option("--all", help="Every command of every group")] = False,
    ) -> int:
        """Print the list of commands."""
        console = session().console
        if name in groups:
            _group_help(groups[name], usage)()
            return 0
        if name:
            why = unsupported.reason(name)
            return unsupported.refuse(name, why, console) if why else unknown_command(name, console)
        console.print(USAGE)
        console.print()
        for group in sorted(groups.values(), key=lambda item: item.name):
            if group.name in HIDDEN_GROUPS:
                continue
            if not everything:
                console.print(f"    {group.name.ljust(NAME_WIDTH)} {group.summary}")
                continue
            for command in group.commands:
                if not command.hidden:
                    console.print(f"    {command.name.ljust(NAME_WIDTH)} {command.summary}")
        if not everything:
            console.print()
            console.print(
                "COMMAND --help explains a command, GROUP:help lists a group, help --all lists everything"
            )
        return 0

    groups["help"] = top


def _group_help(group: Group, usage: Usage) -> Callable[[], None]:
    def show() -> None:
        console = session().console
        console.print(f"Usage: paas {group.name}[:COMMAND]")
        console.print()
        console.print(group.summary)
        console.print()
        console.print("Additional commands:")
        shown = {usage(command): command.summary for command in group.commands if not command.hidden}
        width = max(map(len, shown), default=0)
        for text, summary in sorted(shown.items()):
            console.print(f"    {text.ljust(width)}  {summary}")

    show.__doc__ = f"Print the commands of {group.name}"
    return show


def unknown_command(name: str, console: Console) -> int:
    """Say that a command does not exist: exit code 1, as in Dokku."""
    console.warn(f"`{printable(name)}` is not a paas command.")
    console.warn("See `paas help` for a list of available commands.")
    return REFUSED
