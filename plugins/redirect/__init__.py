"""redirect:* — a domain that leads to another place, whatever path is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from paas.commands.base import (
    AppArgument,
    FormatOption,
    Group,
    ReportWords,
    every_app,
    recorded,
    session,
    the_app,
    wants_json,
)
from paas.commands.report import Flags, report
from paas.deploy.routing.reroute import DomainNotFree, rerouted
from paas.errors import PaasError
from paas.model.access import MANAGE, REPORT, VIEW_SOME
from paas.model.domain import Domain
from paas.model.names import printable, whole_number
from paas.plugins import hookimpl
from paas.router.routes import REDIRECT_CODES, TARGET, Redirect

if TYPE_CHECKING:
    from paas.deploy.session import Session
    from paas.router.routes import Route
    from paas.store.apps import App

NAMESPACE = "redirect"

group = Group("redirect", "Lead domains to other domains", bare="redirect")

OptionalApp = Annotated[str, typer.Argument(metavar="[APP]", show_default=False)]
Source = Annotated[str, typer.Argument(metavar="SRC", show_default=False, help="The domain that is left")]
Target = Annotated[
    str, typer.Argument(metavar="DEST", show_default=False, help="A domain, or http[s]://DOMAIN")
]
Code = Annotated[
    str, typer.Argument(metavar="[CODE]", show_default=False, help="301, 302, 307 or 308; else 301")
]


class Missing(PaasError):
    """Please specify a {what}. Usage: redirect:{command}"""


class InvalidTarget(PaasError):
    """{given} is no place to lead to. Nothing was changed. Give a domain, or https://DOMAIN; the path that is asked for follows it"""


class InvalidCode(PaasError):
    """Invalid code: {given}. Nothing was changed. Give 301, 302, 307 or 308"""


class ToItself(PaasError):
    """{domain} would lead to itself. Nothing was changed"""


class DomainOfOther(PaasError):
    """{domain} belongs to app {owner}. Nothing was changed. Take it from there first: domains:remove {owner} {domain}"""


class RedirectedElsewhere(PaasError):
    """{domain} is redirected by app {owner}. Nothing was changed. Choose another name, or remove that first: redirect:unset {owner} {domain}"""


class NoSuchRedirect(PaasError):
    """{app} has no redirect of {domain}. Nothing was changed. See redirect {app}"""


@hookimpl
def paas_command_groups() -> Sequence[Group]:
    return [group]


@hookimpl
def paas_routes(session: Session, app: App | None) -> Mapping[int, Callable[[Route], Route]]:
    return {
        app_id: partial(_leading, redirects=tuple(_parsed(found)))
        for app_id, found in session.properties.by_app(NAMESPACE, app).items()
    }


def _parsed(stored: Mapping[str, str]) -> Iterator[Redirect]:
    for domain, value in stored.items():
        target, code = json.loads(value)
        yield Redirect(domain, target, code)


def _leading(route: Route, redirects: tuple[Redirect, ...]) -> Route:
    return replace(route, redirects=(*route.redirects, *redirects))


@hookimpl
def paas_app_created(session: Session, app: App) -> None:
    _refuse_redirected(session, app)


@hookimpl
def paas_app_renamed(session: Session, app: App) -> None:
    _refuse_redirected(session, app)


@hookimpl
def paas_app_cloned(session: Session, app: App) -> None:
    for domain in session.properties.all(app.id, NAMESPACE):
        session.properties.set(app.id, NAMESPACE, domain, "")
    _refuse_redirected(session, app)


def _refuse_redirected(session: Session, app: App) -> None:
    """The domains of a new name may lead elsewhere already."""
    redirected = {
        domain: app_id for app_id, found in session.properties.by_app(NAMESPACE).items() for domain in found
    }
    for domain in session.apps.domains(app):
        owner = redirected.get(domain, app.id)
        if owner != app.id:
            raise RedirectedElsewhere(domain=domain, owner=_name(session, owner))


def _name(session: Session, app_id: int) -> str:
    found = session.apps.by_id(app_id)
    return found.name if found else str(app_id)


@group.command("set", needs=MANAGE)
def set_redirect(app: AppArgument = "", source: Source = "", target: Target = "", code: Code = "") -> None:
    """Lead a domain to another one, with the path that is asked for."""
    found = the_app(app)
    if not source or not target:
        what = "destination domain" if source else "source domain"
        raise Missing(what=what, command="set APP SRC DEST [CODE]")
    domain = Domain.parse(source)
    place = _target(target)
    number = whole_number(code, 300, 399) if code else REDIRECT_CODES[0]
    if number not in REDIRECT_CODES:
        raise InvalidCode(given=printable(code))
    if place.partition("//")[2] == domain:
        raise ToItself(domain=domain)
    owner = session().domains.owner(domain)
    if owner not in (None, found.id):
        if not session().reach.sees(owner):
            raise DomainNotFree(domain=domain)
        raise DomainOfOther(domain=domain, owner=_name(session(), owner or 0))
    with recorded(found, "redirect:set", f"{domain} {place} {number}"), rerouted(session()):
        session().properties.set(found.id, NAMESPACE, domain, json.dumps([place, number]))
    session().console.step(f"Setting redirect for {found.name}: {domain} -> {_shown(place)} ({number})")
    if session().router.publishes_ports:
        session().console.warn("Without the router nothing is redirected: see proxy:report")


def _target(given: str) -> str:
    """``//host`` (the scheme stays) or ``https://host``."""
    text = given.rstrip("/")
    text = text if "//" in text else f"//{text}"
    scheme, _, place = text.partition("//")
    host, _, port = place.partition(":")
    if not TARGET.fullmatch(text.lower()) or (":" in place and whole_number(port, 1, 65535) is None):
        raise InvalidTarget(given=printable(given))
    name = Domain.parse(host)
    if name.is_wildcard:
        raise InvalidTarget(given=printable(given))
    return f"{scheme.lower()}//{name}:{port}" if port else f"{scheme.lower()}//{name}"


@group.command("unset", needs=MANAGE)
def unset(app: AppArgument = "", source: Source = "") -> None:
    """Let a domain lead nowhere else any more."""
    found = the_app(app)
    if not source:
        raise Missing(what="source domain", command="unset APP SRC")
    domain = Domain.parse(source)
    if not session().properties.get(found.id, NAMESPACE, domain):
        raise NoSuchRedirect(app=found.name, domain=domain)
    with recorded(found, "redirect:unset", domain), rerouted(session()):
        session().properties.set(found.id, NAMESPACE, domain, "")
    session().console.step(f"Unsetting redirect for {found.name}: {domain}")


@group.command(":redirect", "list", needs=VIEW_SOME)
def list_redirects(app: OptionalApp = "", show_format: FormatOption = "stdout") -> None:
    """List the redirects of an app, or of all."""
    as_json = wants_json(show_format)
    apps = [the_app(app)] if app else every_app()
    stored = session().properties.by_app(NAMESPACE)
    rows = [
        (str(item.name), each)
        for item in apps
        for each in _parsed(dict(sorted(stored.get(item.id, {}).items())))
    ]
    if as_json:
        session().console.json(
            [
                {"app": name, "source": each.domain, "destination": _shown(each.target), "code": each.code}
                for name, each in rows
            ]
        )
        return
    table = [(name, each.domain, _shown(each.target), each.code) for name, each in rows]
    session().console.table([("APP", "SOURCE", "DESTINATION", "CODE"), *table])


def _shown(target: str) -> str:
    return target.removeprefix("//")


@group.command("report", options_pass=True, needs=REPORT)
def redirect_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show where apps' domains lead."""
    report(NAMESPACE, words, _flags, False, show_format)


def _flags(app: App) -> Flags:
    found = _parsed(session().properties.all(app.id, NAMESPACE))
    return {
        "--redirect-list": " ".join(f"{item.domain}:{_shown(item.target)}:{item.code}" for item in found),
    }
