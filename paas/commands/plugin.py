"""plugin:* — which plugins there are. A plugin is code that runs with all rights of paas: install what you trust."""

from __future__ import annotations

from typing import Annotated

import typer

from paas import __version__
from paas.commands.base import FormatOption, Group, known, no_more, recorded, session, wants_json
from paas.deploy import plugins
from paas.errors import REFUSED, UsageError
from paas.plugins import loading, registry
from paas.plugins.registry import Plugin

group = Group("plugin", "Manage plugins, which run with all rights of paas")

INTERNAL = ("git-transport", "help")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
SourceArgument = Annotated[
    str, typer.Argument(metavar="FOLDER|URL", show_default=False, help="A folder of the host, or a git URL")
]
RefArgument = Annotated[
    str, typer.Argument(metavar="[REF]", show_default=False, help="Another branch, tag or commit than before")
]


@group.command("list")
def list_plugins(show_format: FormatOption = "stdout") -> None:
    """List the plugins, and the parts of paas, which have its version."""
    as_json = wants_json(show_format)
    rows = sorted(
        [*_parts(), *map(_row, registry.plugins(session().settings))], key=lambda row: str(row["name"])
    )
    if as_json:
        session().console.json(rows)
        return
    for row in rows:
        enabled = "enabled" if row["enabled"] else "disabled"
        session().console.print(
            f"  {row['name']:<20} {row['version'] or '-'} {enabled:<10} {row['description']}".rstrip()
        )
        if row["error"]:
            session().console.warn(f"{row['name']} is left out: {row['error']}")


def _parts() -> list[dict[str, object]]:
    """The command groups of paas itself."""
    added = {name for plugin in loading.last().manager.get_plugins() for name in _words(plugin)}
    return [
        {
            "name": item.name,
            "version": __version__,
            "enabled": True,
            "description": item.summary,
            "source": "paas",
            "error": "",
        }
        for name, item in sorted(known.items())
        if name not in INTERNAL and name not in added
    ]


def _words(plugin: object) -> list[str]:
    return [group.name for group in getattr(plugin, "paas_command_groups", list)()]


def _row(plugin: Plugin) -> dict[str, object]:
    installed = plugin.installed
    return {
        "name": plugin.name,
        "version": registry.version(plugin),
        "enabled": plugin.enabled,
        "description": plugin.manifest.description,
        "source": installed.source if installed else "shipped",
        "error": loading.current(session().settings).broken.get(plugin.name, "") if plugin.enabled else "",
    }


@group.command("installed")
def installed(
    words: Annotated[list[str] | None, typer.Argument(metavar="NAME", show_default=False)] = None,
) -> int:
    """Say by the exit code whether there is a plugin, or a part of paas, of this name."""
    name, *rest = words or [""]
    no_more(rest)
    if not name:
        raise UsageError("Please give a name. See the list with plugin:list")
    names = {str(item["name"]) for item in _parts()} | {
        plugin.name for plugin in registry.plugins(session().settings)
    }
    return 0 if name in names else REFUSED


@group.command("install")
def install(
    source: SourceArgument = "",
    committish: Annotated[
        str, typer.Option("--committish", metavar="REF", help="A branch, a tag or a commit")
    ] = "",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Another name than its own")] = "",
) -> None:
    """Install a plugin and enable it. It gets all rights of paas, which are root's: install what you trust."""
    if not source:
        raise UsageError("Please give a folder or a git URL")
    with recorded(None, "plugin:install", plugins.described(source)):
        plugin = plugins.install(session(), source, committish, name)
    session().console.step(f"Installed and enabled the plugin {plugin.name} {plugin.manifest.version}")
    _tell_commands(plugin)


@group.command("update")
def update(name: NameArgument = "", ref: RefArgument = "") -> None:
    """Install the newest of a plugin from where it came from."""
    with recorded(None, "plugin:update", _known(name)):
        plugin = plugins.update(session(), name, ref)
    if plugin is None:
        session().console.step(f"The plugin {name} is up to date")
        return
    session().console.step(f"Updated the plugin {name} to {plugin.manifest.version}")


@group.command("uninstall")
def uninstall(name: NameArgument = "") -> None:
    """Remove a plugin. What it stored about apps stays, for the case that it is installed again."""
    with recorded(None, "plugin:uninstall", _known(name)):
        plugins.uninstall(session(), name)
    session().console.step(f"Uninstalled the plugin {name}")


@group.command("enable")
def enable(name: NameArgument = "") -> None:
    """Let a plugin take part again, at once."""
    with recorded(None, "plugin:enable", _known(name)):
        changed = plugins.switch(session(), name, True)
    session().console.step(
        f"Enabled the plugin {name}" if changed else f"The plugin {name} is enabled already"
    )


@group.command("disable")
def disable(name: NameArgument = "") -> None:
    """Do without a plugin: its commands go, and what it did to routes and new containers ends, at once."""
    with recorded(None, "plugin:disable", _known(name)):
        changed = plugins.switch(session(), name, False)
    session().console.step(
        f"Disabled the plugin {name}" if changed else f"The plugin {name} is disabled already"
    )


def _known(name: str) -> str:
    """Nobody's words get into a record before they are a plugin's name."""
    if not name:
        raise UsageError("Please give a name. See the list with plugin:list")
    return plugins.find(session(), name).name


def _tell_commands(plugin: Plugin) -> None:
    module = loading.current(session().settings).manager.get_plugin(plugin.name)
    for item in _words(module):
        session().console.detail(f"Its commands: paas {item}:help")
