"""proxy:* — whether and how the router leads to apps."""

from __future__ import annotations

from typing import Annotated

import typer

from paas.commands.base import (
    AllOption,
    AppArgument,
    FormatOption,
    Group,
    ReportWords,
    recorded,
    session,
    the_apps,
)
from paas.commands.properties import add_set_command, property_flags
from paas.commands.report import Flags, report
from paas.deploy.routing import ports, proxy
from paas.model.access import DEPLOY_SOME, MANAGE, MANAGE_SOME, REPORT
from paas.model.port import HTTP_PORT
from paas.store.apps import App

group = Group("proxy", "Manage the proxy integration for an app")

ParallelOption = Annotated[
    int, typer.Option("--parallel", metavar="N", help="Accepted; the router is brought in step once for all apps")
]

add_set_command(group, "proxy", default_key="type", store=lambda *change: proxy.set_property(session(), *change), needs=MANAGE)


@group.command("enable", needs=MANAGE_SOME)
def enable(app: AppArgument = "", everyone: AllOption = False) -> None:
    """Let the router lead to an app."""
    for found in the_apps(app, everyone):
        _switch(found, True)


@group.command("disable", needs=MANAGE_SOME)
def disable(app: AppArgument = "", everyone: AllOption = False) -> None:
    """Take an app out of the router; its web processes get loopback ports of the host from their next start on."""
    for found in the_apps(app, everyone):
        _switch(found, False)


def _switch(app: App, on: bool) -> None:
    word = "enable" if on else "disable"
    console = session().console
    if proxy.enabled(session(), app) == on:
        console.step(f"Proxy is already {word}d for {app.name}")
        return
    with recorded(app, f"proxy:{word}"):
        proxy.switch(session(), app, on)
    console.step(f"{'Enabling' if on else 'Disabling'} proxy for {app.name}")


@group.command("build-config", needs=DEPLOY_SOME)
def build_config(app: AppArgument = "", everyone: AllOption = False, parallel: ParallelOption = 1) -> None:
    """Bring the router in step with what is stored; it always should be."""
    found = the_apps(app, everyone)
    session().reroute()
    for item in found:
        session().console.step(f"The router is in step for {item.name}")


@group.command("clear-config", needs=DEPLOY_SOME)
def clear_config(app: AppArgument = "", everyone: AllOption = False) -> None:
    """Nothing to clear: the router's configuration is computed whole from what is stored."""
    found = the_apps(app, everyone)
    session().reroute()
    for item in found:
        session().console.step(f"{item.name} has no router configuration of its own")


@group.command("report", options_pass=True, needs=REPORT)
def proxy_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show whether and how the router leads to apps."""
    report("proxy", words, _flags, True, show_format, _global_flags)


def _flags(app: App) -> Flags:
    flags = property_flags("proxy", app)
    flags["--proxy-enabled"] = str(proxy.enabled(session(), app)).lower()
    flags["--proxy-computed-proxy-port"] = str(ports.detected(session(), app).host)
    return flags


def _global_flags() -> Flags:
    flags = property_flags("proxy", None)
    flags["--proxy-computed-proxy-port"] = flags["--proxy-computed-proxy-port"] or str(HTTP_PORT)
    return flags
