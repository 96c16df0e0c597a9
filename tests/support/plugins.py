"""Plugins for tests: the example of docs/plugins.md, and small ones."""

from __future__ import annotations

import re
from pathlib import Path

from support.server import CHECKOUT


def write_example(above: Path) -> Path:
    """The folder of the plugin that docs/plugins.md shows."""
    text = (CHECKOUT / "docs/plugins.md").read_text()
    files = re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert dict(files).keys() == {"plugin.toml", "__init__.py"}
    folder = above / "lantern"
    folder.mkdir(parents=True)
    for name, content in files:
        (folder / name).write_text(content)
    return folder


def write_plugin(folder: Path, code: str, name: str = "lamp", version: str = "1.0") -> Path:
    """A plugin with this code."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plugin.toml").write_text(f'[plugin]\nname = "{name}"\nversion = "{version}"\n')
    (folder / "__init__.py").write_text(code)
    return folder


def saying(text: str, group: str = "lamp") -> str:
    """Code of a plugin with one command, GROUP:say."""
    return f'''
from paas.commands.base import Group, session
from paas.plugins import hookimpl

group = Group("{group}", "A lamp")


@group.command("say")
def say() -> None:
    """Say it."""
    session().console.print("{text}")


@hookimpl
def paas_command_groups():
    return [group]
'''
