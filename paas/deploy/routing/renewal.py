"""Getting automatic certificates: one order a domain, so that none spoils another one's."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager

from paas.deploy.operation import logged
from paas.deploy.routing.acme import Wanted, connect, wanted
from paas.deploy.routing.authority import Authority, AuthorityFailed
from paas.deploy.session import Session
from paas.errors import PaasError
from paas.model.certificate import Certificate, moment_of
from paas.model.renewal import renew_at
from paas.router.routes import covers
from paas.store import routing
from paas.store.apps import App
from paas.store.certificates import AUTO, OWN
from paas.store.locks import FileLock
from paas.store.operations import alive

KIND = "certs:renew"
ORDERS_AT_ONCE = 4
KILLED = "its process was killed; it is tried again"


class NotAutomatic(PaasError):
    """App {app} has no automatic certificates. Nothing was done. Turn them on with certs:auto {app} on"""


class NoCertificate(PaasError):
    """No certificate for {domains}. What was served before still is. See certs:report {app}"""


class Held(PaasError):
    """The authority does not want to be asked for {domains} before {until}. Nothing was done. The agent asks then"""


def renew(session: Session, app: App, only_due: bool = False, everything: bool = False) -> int:
    """Get the certificates that the app lacks or that are due; returns how many.

    `only_due`: leave those for later whose pause is not over, and everything to a run that goes on already.
    `everything`: also those that are not due. Raises NotAutomatic, NoCertificate, Held.
    """
    if not session.properties.get(app.id, "certs", AUTO):
        raise NotAutomatic(app=app.name)
    with _turn(session, app, only_due) as ours:
        if not ours:
            return 0
        _end_killed(session, app)
        now = time.time()
        # Nobody is served by what goes here: its domains are not the app's.
        forget_others(session, app, session.domains.of(app.id))
        items = wanted(session, app).get(app, [])
        chosen = [item for item in items if _chosen(item, now, only_due, everything)]
        held = [item for item in chosen if item.wait_until > now]
        chosen = [item for item in chosen if item not in held]
        if held and not chosen:
            until = moment_of(max(item.wait_until for item in held))
            raise Held(until=until, domains=", ".join(item.domain for item in held))
        if not chosen:
            return 0
        # A domain that has failed for weeks never keeps a new one waiting.
        chosen.sort(key=lambda item: item.attempt.failures if item.attempt else 0)
        domains = [item.domain for item in chosen]
        with logged(session, app, KIND, " ".join(domains)):
            session.attempts.begin(app, domains, now)
            failed = list(_ask(session, app, domains))
            if failed:
                raise NoCertificate(domains=", ".join(failed), app=app.name)
            return len(domains)


def forget_others(session: Session, app: App, domains: Iterable[str]) -> None:
    """Remove automatic certificates, and the record of attempts, of all but these domains."""
    stored = {item.domain for item in session.certificates.all(app)} - {OWN}
    tried = {domain for _, domain in session.attempts.all(app)}
    with session.database.transaction():
        for domain in (stored | tried).difference(domains):
            session.certificates.remove(app, domain)
            session.attempts.forget(app, domain)


def _chosen(item: Wanted, now: float, only_due: bool, everything: bool) -> bool:
    if item.obstacle is not None:
        return False
    if only_due:
        return item.due_at <= now
    failed = item.attempt is None or item.attempt.failures > 0 or item.attempt.unfinished > 0
    return everything or failed or item.due_at <= now


def _ask(session: Session, app: App, domains: list[str]) -> Iterator[str]:
    """Get the certificates; the domains that have none in the end."""
    console = session.console
    # What answers the authority, before it asks.
    session.reroute()
    try:
        authority = connect(session)
    except AuthorityFailed as error:
        for domain in domains:
            _failed(session, app, domain, error)
        yield from domains
        return
    pool = ThreadPoolExecutor(ORDERS_AT_ONCE)
    try:
        orders = {pool.submit(_issue, authority, domain): domain for domain in domains}
        for order in as_completed(orders):
            domain = orders[order]
            try:
                certificate = order.result()
            except PaasError as error:
                _failed(session, app, domain, error)
                yield domain
                continue
            if _store(session, app, domain, certificate):
                console.step(f"{domain}: a certificate until {moment_of(certificate.expires_at.timestamp())}")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _issue(authority: Authority, domain: str) -> Certificate:
    """Raises PaasError."""
    certificate = Certificate.parse(*authority.issue(domain))
    if not covers(certificate.names, domain):
        raise AuthorityFailed(f"The authority's certificate is for {' '.join(certificate.names)}")
    if renew_at(certificate.starts_at.timestamp(), certificate.expires_at.timestamp()) <= time.time():
        raise AuthorityFailed("The authority's certificate is due for renewal already. Is the clock right?")
    return certificate


def _store(session: Session, app: App, domain: str, certificate: Certificate) -> bool:
    """Keep and serve it, unless nobody wants it any more."""
    with session.routing():
        with session.database.transaction():
            if not any(item.domain == domain for item in wanted(session, app).get(app, [])):
                session.console.warn(f"{domain}: not wanted any more")
                return False
            session.certificates.set(app, certificate, domain)
            due = renew_at(certificate.starts_at.timestamp(), certificate.expires_at.timestamp())
            session.attempts.succeeded(app, domain, due)
        try:
            version = routing.version(session.database)
            session.apply(session.routes(), version)
        except PaasError as error:
            # It is kept: whoever tells the router something next tells it this too.
            session.console.warn(f"{domain}: {error}")
    return True


def _failed(session: Session, app: App, domain: str, error: PaasError) -> None:
    now = time.time()
    wait_until = error.wait_until if isinstance(error, AuthorityFailed) else 0.0
    attempt = session.attempts.failed(app, domain, str(error), now, wait_until)
    then = f". Next try {moment_of(attempt.next_at)}" if attempt else ""
    session.console.warn(f"{domain}: {error}{then}")


@contextmanager
def _turn(session: Session, app: App, only_due: bool) -> Iterator[bool]:
    """Hold the right to ask for the app's certificates; False where another run has it and `only_due` does not wait."""
    lock = FileLock(session.settings.locks_dir / f"certificates-{app.id}")
    try:
        ours = lock.try_acquire()
        if not ours and not only_due:
            session.console.step("Waiting for another run")
            lock.acquire()
            ours = True
        yield ours
    finally:
        lock.release()


def _end_killed(session: Session, app: App) -> None:
    """Runs whose process is gone: we hold what they held."""
    for item in session.operations.open(app.id):
        if item.kind == KIND and not alive(item):
            session.operations.finish(item.id, "failed", KILLED)
