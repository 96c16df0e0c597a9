"""Changes of how apps are reached: stored and routed at once, or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from paas.deploy.routing.routes import Reach, conflicts, lost_domains, reaches, routes
from paas.deploy.session import Session
from paas.deploy.upkeep.agent_mail import CERTIFICATES, tell_agent
from paas.errors import PaasError
from paas.store import routing


class HostPortTaken(PaasError):
    """Host port {port} is used by app {owner}. Nothing was changed. See ports:list {owner}"""


class HostPortNotFree(PaasError):
    """Host port {port} can't be had. Nothing was changed. Choose another one, or ask an administrator"""


class HostPortOfRouter(PaasError):
    """Host port {port} is the router's own. Nothing was changed. Choose another one"""


class HostPortBusy(PaasError):
    """The router can't listen on host port {port}: {reason}. Nothing was changed. Choose another one, or stop what holds it"""


class DomainNotFree(PaasError):
    """{domain} can't be had. Nothing was changed. Choose another domain, or ask an administrator"""


class DomainLedElsewhere(PaasError):
    """{domain} can't be used by two apps: {owner} has it, and a plugin uses it for {app}. Nothing was changed. Choose another one, or take it from one of them first"""


@contextlib.contextmanager
def rerouted(session: Session) -> Iterator[None]:
    """Store what the block changes in the database and bring the router in step, or leave both as they were.

    Domains may be new: the agent is told, for their certificates. Raises HostPortTaken, HostPortNotFree, HostPortOfRouter,
    HostPortBusy, DomainNotFree, DomainLedElsewhere, PluginFailed and RouterFailed.
    """
    with session.routing():
        before, lost_before = reaches(session), lost_domains(session)
        try:
            with session.database.transaction():
                yield
                _check(session, before, reaches(session))
                for item in lost_domains(session):
                    if item not in lost_before:
                        if not (_seen(session, item.owner) and _seen(session, item.app)):
                            raise DomainNotFree(domain=item.domain)
                        raise DomainLedElsewhere(domain=item.domain, owner=item.owner, app=item.app)
                session.apply(routes(session), routing.version(session.database))
        except BaseException:
            with contextlib.suppress(PaasError, OSError):
                session.router.apply(routes(session))
            raise
    tell_agent(session.settings, CERTIFICATES)


def _seen(session: Session, name: str) -> bool:
    """Whether the caller may know of the app."""
    app = session.apps.find(name)
    return app is not None and session.reach.sees(app.id)


def _check(session: Session, before: list[Reach], after: list[Reach]) -> None:
    settings = session.settings
    if session.router.publishes_ports:
        return
    known = {(item.number, item.app_id) for item in conflicts(settings, before)}
    for item in conflicts(settings, after):
        if (item.number, item.app_id) in known:
            continue
        if item.owner is None:
            raise HostPortOfRouter(port=item.number)
        if not _seen(session, item.owner):
            raise HostPortNotFree(port=item.number)
        raise HostPortTaken(port=item.number, owner=item.owner)
    had, wanted = ({item.host for reach in every for item, _ in reach.host_ports(settings)} for every in (before, after))
    for number in sorted(wanted - had):
        reason = session.router.refusal(number)
        if reason is not None:
            raise HostPortBusy(port=number, reason=reason)
