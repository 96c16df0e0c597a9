"""ports:* — which ports of the host lead to which ports of an app's containers."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from paas.commands.base import AppArgument, FormatOption, Group, ReportWords, recorded, session, the_app
from paas.commands.report import Flags, report
from paas.deploy.routing import ports
from paas.errors import PaasError
from paas.model.access import MANAGE, REPORT, VIEW
from paas.model.port import PortMapping
from paas.store.apps import App

group = Group("ports", "Manage ports for an app")

Words = Annotated[list[str] | None, typer.Argument(metavar="SCHEME:HOST:CONTAINER…", show_default=False)]
INDENT = "    "


class NoMapping(PaasError):
    """No port mapping specified"""


class NoMappings(PaasError):
    """No port mappings configured for app"""


def _given(words: list[str] | None) -> list[str]:
    if not words:
        raise NoMapping()
    return words


@group.command("list", needs=VIEW)
def list_ports(app: AppArgument = "") -> None:
    """List the port mappings that were set for an app."""
    found = the_app(app)
    mappings = ports.stored(session(), found)
    if not mappings:
        raise NoMappings()
    console = session().console
    console.step_header(f"Port mappings for {found.name}")
    rows = [(item.scheme, str(item.host), str(item.container)) for item in mappings]
    shown = rows if console.quiet else [("-----> scheme", "host port", "container port"), *rows]
    widths = [max(len(row[column]) for row in shown) for column in (0, 1)]
    for scheme, host, container in shown:
        console.print(f"{INDENT}{scheme.ljust(widths[0])}  {host.ljust(widths[1])}  {container}")


@group.command("add", needs=MANAGE)
def add(app: AppArgument = "", words: Words = None) -> None:
    """Add port mappings to an app."""
    found, new = the_app(app), [PortMapping.parse(word) for word in _given(words)]
    with recorded(found, "ports:add", " ".join(map(str, new))):
        ports.add(session(), found, new)


@group.command("set", needs=MANAGE)
def set_ports(app: AppArgument = "", words: Words = None) -> None:
    """Replace an app's port mappings."""
    found, wanted = the_app(app), [PortMapping.parse(word) for word in _given(words)]
    with recorded(found, "ports:set", " ".join(map(str, wanted))):
        ports.replace(session(), found, wanted)


@group.command("remove", needs=MANAGE)
def remove(
    app: AppArgument = "",
    words: Annotated[
        list[str] | None, typer.Argument(metavar="HOST|SCHEME:HOST:CONTAINER…", show_default=False)
    ] = None,
) -> None:
    """Remove port mappings, whole ones or all of a host port."""
    found, gone = the_app(app), _given(words)
    numbers = {int(word) for word in gone if word.isascii() and word.isdigit()}
    whole = {PortMapping.parse(word) for word in gone if not (word.isascii() and word.isdigit())}
    with recorded(found, "ports:remove", " ".join([*map(str, sorted(numbers)), *map(str, sorted(whole))])):
        ports.remove(session(), found, lambda item: item in whole or item.host in numbers)


@group.command("clear", needs=MANAGE)
def clear(app: AppArgument = "") -> None:
    """Remove all port mappings that were set: the detected one counts again."""
    found = the_app(app)
    with recorded(found, "ports:clear"):
        ports.replace(session(), found, [])


@group.command("report", options_pass=True, needs=REPORT)
def ports_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show the port mappings of apps, set and detected."""
    report("ports", words, _flags, True, show_format)


def _flags(app: App) -> Flags:
    stored, detected = ports.stored(session(), app), [ports.detected(session(), app)]
    return {
        "--ports-map": " ".join(map(str, stored)),
        "--ports-map-json": _json(stored),
        "--ports-map-detected": " ".join(map(str, detected)),
        "--ports-map-detected-json": _json(detected),
    }


def _json(mappings: list[PortMapping]) -> str:
    rows = [
        {"container_port": item.container, "host_port": item.host, "scheme": item.scheme} for item in mappings
    ]
    return json.dumps(rows or None, separators=(",", ":"))
