"""doctor — what is wrong with this machine, and the command that mends it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from paas.commands.base import FormatOption, Group, session, wants_json
from paas.deploy.upkeep.doctor import examine
from paas.errors import REFUSED

group = Group("doctor", "Look for what is wrong with this machine", bare="doctor")

MARKS = {"ok": "       ", "warning": " !     ", "problem": " !     "}


@group.command(":doctor")
def doctor(
    show_format: FormatOption = "stdout",
    everything: Annotated[bool, typer.Option("--all", help="Tell what is right, too")] = False,
) -> int:
    """Check engine, disk, ports, router, domains, certificates, clock, keys and apps; exit 1 when something is wrong."""
    as_json = wants_json(show_format)
    found = examine(session())
    console = session().console
    problems = sum(item.level == "problem" for item in found)
    warnings = sum(item.level == "warning" for item in found)
    if as_json:
        console.json([asdict(item) for item in found])
        return REFUSED if problems else 0
    for item in found:
        if item.level == "ok" and not everything:
            continue
        console.print(f"{MARKS[item.level]}{item.level}: {item.check}: {item.text}")
        if item.mend:
            console.detail(f"to mend it: {item.mend}")
    console.headline(f"{problems} problems, {warnings} warnings, {len(found)} things looked at")
    return REFUSED if problems else 0
