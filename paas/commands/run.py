"""run and enter — a shell or a command in a throw-away container, or in a running one."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from paas.commands.base import Group, session, the_app
from paas.deploy import one_off

group = Group("run", "Run a one-off process inside a container", bare="run")
enter_group = Group("enter", "Enter running app containers", bare="enter")

Words = Annotated[list[str] | None, typer.Argument(metavar="APP COMMAND…", show_default=False)]
EnterWords = Annotated[
    list[str] | None, typer.Argument(metavar="APP [TYPE[.N]] [COMMAND…]", show_default=False)
]
EnvOption = Annotated[
    list[str] | None, typer.Option("--env", "-e", metavar="KEY=VALUE", help="Set for this run")
]
NoTtyOption = Annotated[bool, typer.Option("--no-tty", help="Without a terminal, even if there is one")]


@group.command(":run", raw=True)
def run(words: Words = None, env: EnvOption = None, no_tty: NoTtyOption = False) -> int:
    """Run a command in a new container of the app's current release, and pass its exit code on."""
    rest = list(words or [])
    app = the_app(rest[0] if rest else "")
    return one_off.run(session(), app, rest[1:], env or [], terminal=not no_tty and os.isatty(0))


@enter_group.command(":enter", raw=True)
def enter(words: EnterWords = None) -> int:
    """Run a shell or a command in a running container of the app."""
    rest = list(words or [])
    app = the_app(rest[0] if rest else "")
    return one_off.enter(session(), app, rest[1:], terminal=os.isatty(0))
