"""domains:*: under which names an app is reached. Every change counts at once, without a deploy."""

from __future__ import annotations

from collections.abc import Iterable

from paas.deploy.routing.ports import ensure_port
from paas.deploy.routing.reroute import DomainNotFree, rerouted
from paas.deploy.session import Session
from paas.errors import PaasError
from paas.model.domain import Domain, InvalidDomain
from paas.store.apps import App


class DomainTaken(PaasError):
    """{domain} belongs to app {owner}. Nothing was changed. Take it from there first: domains:remove {owner} {domain}"""


def add(session: Session, app: App, domains: Iterable[Domain]) -> list[Domain]:
    """Also enables domains that were disabled. Returns those that the app did not have.

    Raises DomainTaken, or DomainNotFree where the caller may not know by whom.
    """
    known = session.apps.domains(app)
    new = [domain for domain in dict.fromkeys(domains) if domain not in known]
    if new or not session.domains.enabled(app.id):
        with rerouted(session):
            _take(session, app, new)
            session.domains.set_enabled(app.id, True)
    return new


def remove(session: Session, app: App, domains: Iterable[Domain]) -> None:
    """What the app does not have is fine."""
    with rerouted(session):
        for domain in domains:
            session.domains.remove(app.id, domain)


def replace(session: Session, app: App, domains: Iterable[Domain]) -> None:
    """Raises DomainTaken or DomainNotFree."""
    with rerouted(session):
        session.domains.clear(app.id)
        _take(session, app, dict.fromkeys(domains))
        session.domains.set_enabled(app.id, True)


def clear(session: Session, app: App) -> None:
    with rerouted(session):
        session.domains.clear(app.id)


def reset(session: Session, app: App) -> list[str]:
    """Back to the default domains; returns those that another app has. Without global domains they are disabled."""
    with rerouted(session):
        session.domains.clear(app.id)
        defaults = session.apps.default_domains(app.name)
        for domain in defaults:
            session.domains.add(app.id, domain)
        session.domains.set_enabled(app.id, bool(defaults))
        if not defaults:
            ensure_port(session, app)
    known = session.apps.domains(app)
    return [domain for domain in defaults if domain not in known]


def enable(session: Session, app: App) -> None:
    """An app that has no domain gets its default ones again."""
    with rerouted(session):
        session.domains.set_enabled(app.id, True)
        if not session.apps.domains(app):
            for domain in session.apps.default_domains(app.name):
                session.domains.add(app.id, domain)


def disable(session: Session, app: App) -> None:
    """The app keeps its domains, but they lead nowhere: it is reached by a port of the host."""
    with rerouted(session):
        session.domains.set_enabled(app.id, False)
        ensure_port(session, app)


def set_everywhere(session: Session, domains: Iterable[Domain]) -> None:
    """The global domains, for apps made from now on. Raises InvalidDomain for a wildcard."""
    wanted = list(domains)
    for domain in wanted:
        if domain.is_wildcard:
            raise InvalidDomain(domain=domain)
    session.domains.set_everywhere(wanted)


def _take(session: Session, app: App, domains: Iterable[str]) -> None:
    for domain in domains:
        owner = session.domains.owner(domain)
        if owner is not None and owner != app.id:
            if not session.reach.sees(owner):
                raise DomainNotFree(domain=domain)
            other = session.apps.by_id(owner)
            raise DomainTaken(domain=domain, owner=other.name if other else owner)
        session.domains.add(app.id, domain)
