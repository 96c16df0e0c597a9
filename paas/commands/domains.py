"""domains:* — under which names apps are reached."""

from __future__ import annotations

from typing import Annotated

import typer

from paas.commands.base import (
    AllOption,
    AppArgument,
    Group,
    ReportWords,
    recorded,
    session,
    the_app,
    the_apps,
)
from paas.commands.base import FormatOption as Format
from paas.commands.report import Flags, report
from paas.deploy.routing import domains
from paas.errors import PaasError
from paas.model.access import MANAGE, MANAGE_SOME, REPORT
from paas.model.domain import Domain
from paas.store.apps import App

group = Group("domains", "Manage domains used by the proxy")

Words = Annotated[list[str] | None, typer.Argument(metavar="DOMAIN…", show_default=False)]


class NoDomain(PaasError):
    """Please specify a domain name. Usage: dokku {command}"""


def _parsed(words: list[str] | None, command: str) -> list[Domain]:
    if not words:
        raise NoDomain(command=f"{command} <domain> [<domain> ...]")
    return [Domain.parse(word) for word in words]


@group.command("add", needs=MANAGE)
def add(app: AppArgument = "", words: Words = None) -> None:
    """Add domains to an app."""
    found, wanted = the_app(app), _parsed(words, "domains:add <app>")
    with recorded(found, "domains:add", " ".join(wanted)):
        new = domains.add(session(), found, wanted)
    for domain in wanted:
        added = f"Added {domain} to {found.name}"
        session().console.step(added if domain in new else f"Skipping: {domain} already added to {found.name}")


@group.command("remove", needs=MANAGE)
def remove(app: AppArgument = "", words: Words = None) -> None:
    """Remove domains from an app."""
    found, wanted = the_app(app), _parsed(words, "domains:remove <app>")
    with recorded(found, "domains:remove", " ".join(wanted)):
        domains.remove(session(), found, wanted)
    for domain in wanted:
        session().console.step(f"Removed {domain} from {found.name}")


@group.command("set", needs=MANAGE)
def set_domains(app: AppArgument = "", words: Words = None) -> None:
    """Replace an app's domains."""
    found, wanted = the_app(app), _parsed(words, "domains:set <app>")
    with recorded(found, "domains:set", " ".join(wanted)):
        domains.replace(session(), found, wanted)
    session().console.step(f"Set {' '.join(wanted)} for {found.name}")


@group.command("clear", needs=MANAGE_SOME)
def clear(app: AppArgument = "", everyone: AllOption = False) -> None:
    """Remove all domains of an app."""
    for found in the_apps(app, everyone):
        with recorded(found, "domains:clear"):
            domains.clear(session(), found)
        session().console.step(f"Cleared domains in {found.name}")


@group.command("reset", "setup", needs=MANAGE)
def reset(app: AppArgument = "") -> None:
    """Give an app its default domains again: its name below each global domain."""
    found = the_app(app)
    with recorded(found, "domains:reset"):
        taken = domains.reset(session(), found)
    session().console.step(f"Cleared domains in {found.name}")
    session().console.step(f"Reset domains for {found.name}")
    for domain in taken:
        session().console.warn(f"{domain} belongs to another app")


@group.command("enable", needs=MANAGE_SOME)
def enable(app: AppArgument = "", everyone: AllOption = False) -> None:
    """Let an app be reached by its domains again."""
    for found in the_apps(app, everyone):
        with recorded(found, "domains:enable"):
            domains.enable(session(), found)
        session().console.step(f"Enabled domains for {found.name}")


@group.command("disable", needs=MANAGE_SOME)
def disable(app: AppArgument = "", everyone: AllOption = False) -> None:
    """Let an app be reached by a port of the host only."""
    for found in the_apps(app, everyone):
        with recorded(found, "domains:disable"):
            domains.disable(session(), found)
        session().console.step(f"Disabled domains for {found.name}")


@group.command("add-global")
def add_global(words: Words = None) -> None:
    """Add domains below which new apps get theirs."""
    wanted = _parsed(words, "domains:add-global")
    _set_global("domains:add-global", [*map(Domain, session().domains.everywhere()), *wanted], wanted)
    for domain in wanted:
        session().console.step(f"Added {domain}")


@group.command("remove-global")
def remove_global(words: Words = None) -> None:
    """Remove global domains; apps keep theirs."""
    wanted = _parsed(words, "domains:remove-global")
    kept = [Domain(domain) for domain in session().domains.everywhere() if domain not in wanted]
    _set_global("domains:remove-global", kept, wanted)
    for domain in wanted:
        session().console.step(f"Removed {domain}")


@group.command("set-global")
def set_global(words: Words = None) -> None:
    """Replace the global domains; apps keep theirs."""
    wanted = _parsed(words, "domains:set-global")
    _set_global("domains:set-global", wanted, wanted)
    session().console.step(f"Set {' '.join(wanted)}")


@group.command("clear-global")
def clear_global() -> None:
    """Remove all global domains; apps keep theirs."""
    _set_global("domains:clear-global", [], [])
    session().console.step("Cleared global domains")


def _set_global(kind: str, everything: list[Domain], named: list[Domain]) -> None:
    with recorded(None, kind, " ".join(named)):
        domains.set_everywhere(session(), everything)


@group.command("report", options_pass=True, needs=REPORT)
def domains_report(words: ReportWords = None, show_format: Format = "stdout") -> None:
    """Show under which names apps are reached."""
    report("domains", words, _flags, False, show_format, _global_flags)


def _flags(app: App) -> Flags:
    enabled = session().domains.enabled(app.id)
    return _global_flags() | {
        "--domains-app-enabled": str(enabled).lower(),
        "--domains-app-vhosts": " ".join(session().apps.domains(app)) if enabled else "",
    }


def _global_flags() -> Flags:
    everywhere = session().domains.everywhere()
    return {
        "--domains-global-enabled": str(bool(everywhere)).lower(),
        "--domains-global-vhosts": " ".join(everywhere),
    }
