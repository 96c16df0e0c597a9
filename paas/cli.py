"""The Typer app: mounts the command groups, turns errors into messages and exit codes."""

from __future__ import annotations

from paas.model.caller import Caller


def warm() -> None:
    """Import everything and build the command tree, so that a forked child starts at once."""


def main(words: list[str], caller: Caller) -> int:
    """Run one command in this process, print what it says, and return its exit code."""
    raise SystemExit(f"not built yet: {words} {caller}")
