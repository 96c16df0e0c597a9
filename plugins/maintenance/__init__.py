"""maintenance:* — while it is on, the router answers every request to the app with a page, whatever runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from paas.commands.base import (
    AppArgument,
    FormatOption,
    Group,
    ReportWords,
    recorded,
    session,
    the_app,
)
from paas.commands.report import Flags, report
from paas.deploy.routing.reroute import rerouted
from paas.model.access import MANAGE, REPORT
from paas.plugins import hookimpl

from .page import DEFAULT, MAX_INPUT_BYTES, PageExpected, read_page

if TYPE_CHECKING:
    from paas.deploy.session import Session
    from paas.router.routes import Route
    from paas.store.apps import App

NAMESPACE = "maintenance"
ENABLED, PAGE = "enabled", "page"

group = Group("maintenance", "Answer every request to an app with a maintenance page")


@hookimpl
def paas_command_groups() -> Sequence[Group]:
    return [group]


@hookimpl
def paas_routes(session: Session, app: App | None) -> Mapping[int, Callable[[Route], Route]]:
    return {
        app_id: partial(_closed, page=found.get(PAGE))
        for app_id, found in session.properties.by_app(NAMESPACE, app).items()
        if ENABLED in found
    }


def _closed(route: Route, page: str | None) -> Route:
    return replace(route, maintenance=True, page=page or route.page or DEFAULT)


@hookimpl
def paas_app_cloned(session: Session, app: App) -> None:
    session.properties.set(app.id, NAMESPACE, ENABLED, "")


@group.command("on", "enable", needs=MANAGE)
def on(app: AppArgument = "") -> None:
    """Answer every request with the maintenance page, at once."""
    found = the_app(app)
    if session().router.publishes_ports:
        session().console.warn("Without the router nothing answers in the app's place: see proxy:report")
    session().console.step(f"Enabling maintenance mode for {found.name}...")
    _switch(found, "maintenance:on", "true")
    session().console.step("done")


@group.command("off", "disable", needs=MANAGE)
def off(app: AppArgument = "") -> None:
    """Let requests reach the app again."""
    found = the_app(app)
    session().console.step(f"Disabling maintenance mode for {found.name}...")
    _switch(found, "maintenance:off", "")
    session().console.step("done")


def _switch(app: App, kind: str, value: str) -> None:
    with recorded(app, kind), rerouted(session()):
        session().properties.set(app.id, NAMESPACE, ENABLED, value)


@group.command("custom-page", needs=MANAGE)
def custom_page(app: AppArgument = "") -> None:
    """Store a page from standard input: HTML, or a tar with maintenance.html; an empty one is the page of paas."""
    found = the_app(app)
    if sys.stdin.isatty():
        raise PageExpected()
    page, left = read_page(sys.stdin.buffer.read(MAX_INPUT_BYTES + 1))
    with recorded(found, "maintenance:custom-page"), rerouted(session()):
        session().properties.set(found.id, NAMESPACE, PAGE, page)
    for name in left:
        session().console.warn(f"{name} is left out: the page is all that is served")
    session().console.step(
        f"Stored the maintenance page of {found.name}" if page else f"{found.name} has no page of its own"
    )


@group.command("report", options_pass=True, needs=REPORT)
def maintenance_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show which apps are in maintenance."""
    report(NAMESPACE, words, _flags, False, show_format)


def _flags(app: App) -> Flags:
    found = session().properties.all(app.id, NAMESPACE)
    return {
        "--maintenance-enabled": str(ENABLED in found).lower(),
        "--maintenance-custom-page": str(PAGE in found).lower(),
    }
