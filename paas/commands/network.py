"""network:* — Docker networks, and which ones an app's containers are on."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from paas.commands.base import (
    AppArgument,
    ForceOption,
    FormatOption,
    Group,
    ReportWords,
    confirm,
    every_app,
    recorded,
    session,
    the_app,
    wants_json,
)
from paas.commands.properties import add_set_command, property_flags
from paas.commands.report import Flags, report
from paas.deploy.containers import network
from paas.errors import PaasError
from paas.model.access import REPORT
from paas.model.network import BUILT_IN, network_name
from paas.store.apps import App

group = Group("network", "Manage network settings for an app")

NameArgument = Annotated[
    str, typer.Argument(metavar="NETWORK", show_default=False, help="The network's name")
]


class NameMissing(PaasError):
    """No network name specified"""


class NameReserved(PaasError):
    """{name} is a network of the engine itself. Nothing was changed. Choose another name"""


def _name(text: str) -> str:
    if not text:
        raise NameMissing()
    return network_name(text)


@group.command("create")
def create(name: NameArgument = "") -> None:
    """Create a network on which containers reach each other."""
    found = _name(name)
    if found in BUILT_IN:
        raise NameReserved(name=found)
    session().console.step_header(f"Creating network {found}")
    with recorded(None, "network:create", found):
        network.create(session(), found)


@group.command("destroy")
def destroy(name: NameArgument = "", force: ForceOption = False) -> None:
    """Destroy a network that network:create made."""
    found = network.removable(session(), _name(name))
    if not force:
        confirm("network", found.name)
    session().console.step_header(f"Destroying network {found.name}")
    with recorded(None, "network:destroy", found.name):
        network.networks(session()).remove(found)


@group.command("exists")
def exists(name: NameArgument = "") -> None:
    """Tell whether there is a network of that name."""
    network.get(session(), _name(name))
    session().console.step_header("Network exists")


@group.command("info")
def info(name: NameArgument = "", show_format: FormatOption = "text") -> None:
    """Show a network."""
    found = network.document(session(), network.get(session(), _name(name)))
    if wants_json(show_format):
        session().console.json(found)
        return
    session().console.header(f"{found['Name']} network information")
    width = max(map(len, found)) + 2
    for key, value in found.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        session().console.detail(f"{key + ':':<{width}}{text}")


@group.command("list")
def list_networks(
    show_format: FormatOption = "text",
    ours: Annotated[bool, typer.Option("--dokku-managed", help="Only those of network:create")] = False,
) -> None:
    """List the networks of the Docker Engine."""
    found = [
        item for item in network.networks(session()).all() if not ours or network.is_ours(session(), item)
    ]
    console = session().console
    if wants_json(show_format):
        console.json([network.document(session(), item) for item in found])
        return
    console.header("Networks")
    for item in found:
        console.print(item.name)


@group.command("rebuild")
def rebuild(app: AppArgument = "") -> None:
    """Tell the router anew where an app's processes are, and attach what attach-post-deploy names."""
    _rebuild([the_app(app)])


@group.command("rebuildall")
def rebuild_all() -> None:
    """Do network:rebuild for every app."""
    _rebuild(every_app())


def _rebuild(apps: list[App]) -> None:
    with recorded(apps[0] if len(apps) == 1 else None, "network:rebuild"):
        network.rebuild(session(), apps)


add_set_command(group, "network", store=lambda *change: network.set_property(session(), *change))


@group.command("report", options_pass=True, needs=REPORT)
def network_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show which networks an app's containers are on."""
    report("network", words, _flags, True, show_format, lambda: property_flags("network", None))


def _flags(app: App) -> Flags:
    flags = property_flags("network", app)
    del flags["--network-computed-static-web-listener"]
    return flags | {"--network-web-listeners": " ".join(network.web_listeners(session(), app))}
