"""certs:auto and certs:renew — certificates that an authority gives by itself (ACME)."""

from __future__ import annotations

from typing import Annotated

import typer

from paas.commands.base import AppArgument, recorded, session, the_app
from paas.commands.certs import group
from paas.deploy.routing import acme
from paas.deploy.routing.renewal import forget_others, renew
from paas.deploy.routing.reroute import rerouted
from paas.deploy.upkeep.agent_mail import CERTIFICATES, tell_agent
from paas.errors import PaasError
from paas.model.access import MANAGE
from paas.store.apps import App
from paas.store.certificates import AUTO
from paas.store.properties import GLOBAL

StateArgument = Annotated[str, typer.Argument(metavar="on|off", show_default=False)]
DueOption = Annotated[bool, typer.Option("--due", help="Only those whose time has come, as the agent does")]
RenewOption = Annotated[bool, typer.Option("--force", help="Also those that are good for long")]


class WhichState(PaasError):
    """specify either 'on' or 'off'"""


class NoRouter(PaasError):
    """Automatic certificates need the router: {missing}. Nothing was changed"""


@group.command("auto", needs=MANAGE)
def auto(app: AppArgument = "", state: StateArgument = "") -> None:
    """Get certificates for an app's domains from an authority, and renew them (ACME), or stop that.

    Turning it on agrees to the authority's terms of service. Turning it off takes these certificates away.
    """
    found = the_app(app)
    if state not in ("on", "off"):
        raise WhichState()
    is_on = bool(session().properties.get(found.id, acme.NAMESPACE, AUTO))
    if is_on == (state == "on"):
        session().console.step(f"Automatic certificates of {found.name} are {state} already")
    elif is_on:
        _turn_off(found)
    else:
        _turn_on(found)


def _turn_on(app: App) -> None:
    console = session().console
    if session().router.missing is not None:
        raise NoRouter(missing=session().router.missing)
    with recorded(app, "certs:auto", "on"):
        acme.make_account_key(session())
        with rerouted(session()):
            session().properties.set(app.id, acme.NAMESPACE, AUTO, "on")
    directory = session().properties.computed(GLOBAL, acme.NAMESPACE, acme.DIRECTORY)
    console.step(f"Automatic certificates of {app.name} are on, from {directory}")
    domains = acme.wanted(session(), app).get(app, [])
    for item in domains:
        if item.obstacle is None:
            console.detail(f"{item.domain}: is asked for now")
        else:
            console.detail(f"{item.domain}: skipped, {item.obstacle}")
    if not domains:
        console.detail(f"{app.name} has no domain yet: see domains:add")
    if tell_agent(session().settings, CERTIFICATES):
        console.detail(f"How it goes: certs:report {app.name}")
    else:
        console.warn(f"No agent runs: nothing is asked for until paas serve does, or certs:renew {app.name}")


def _turn_off(app: App) -> None:
    with recorded(app, "certs:auto", "off"), rerouted(session()):
        session().properties.set(app.id, acme.NAMESPACE, AUTO, "")
        forget_others(session(), app, [])
    console = session().console
    console.step(f"Automatic certificates of {app.name} are off, and not served any more")
    console.detail("Browsers that were told to use https only (HSTS) remember that: give it another with certs:add")


@group.command("renew", needs=MANAGE)
def renew_now(app: AppArgument = "", due: DueOption = False, force: RenewOption = False) -> None:
    """Get the automatic certificates that an app lacks or whose renewal failed, now."""
    found = the_app(app)
    count = renew(session(), found, only_due=due, everything=force)
    if not count and not due:
        session().console.step(f"No certificate of {found.name} is due. See certs:report {found.name}")
