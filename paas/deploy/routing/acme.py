"""The installation's account with a certificate authority, and which certificates it is asked for, and when."""

from __future__ import annotations

from dataclasses import dataclass

from paas.deploy.routing.authority import Authority, AuthorityFailed, new_key, thumbprint
from paas.deploy.routing.routes import Reach, reaches
from paas.deploy.session import Session
from paas.model.renewal import Attempt, obstacle
from paas.router.routes import covers
from paas.store.apps import App
from paas.store.certificates import AUTO, OWN, THUMBPRINT, Stored
from paas.store.properties import GLOBAL

NAMESPACE = "certs"
DIRECTORY, CA, MAIL = "acme-directory", "acme-ca", "acme-email"
SETTINGS = (DIRECTORY, CA, MAIL)
KEY = "acme-key"  # encrypted
TOLD = "acme-told"  # which directory knows which e-mail address
WAIT_UNTIL = "acme-wait-until"  # epoch seconds: what the authority asked of the whole installation


@dataclass(frozen=True)
class Wanted:
    """One domain of an app with automatic certificates. `obstacle`: why none is asked for, None where one is.

    `wait_until`: what the authority asked for (epoch seconds), of this domain or of everybody.
    """

    domain: str
    obstacle: str | None
    attempt: Attempt | None
    certificate: Stored | None
    wait_until: float = 0.0

    @property
    def due_at(self) -> float:
        """When one is asked for, in epoch seconds; 0 for at once."""
        return max(self.attempt.next_at if self.attempt else 0.0, self.wait_until)


def make_account_key(session: Session) -> None:
    """Make the key of the installation's account, unless there is one."""
    properties = session.properties
    if properties.get(GLOBAL, NAMESPACE, THUMBPRINT):
        return
    key = new_key()
    with session.database.transaction():
        # Another process may have been quicker.
        if not properties.get(GLOBAL, NAMESPACE, THUMBPRINT):
            properties.set_secret(GLOBAL, NAMESPACE, KEY, key)
            properties.set(GLOBAL, NAMESPACE, THUMBPRINT, thumbprint(key))


def connect(session: Session) -> Authority:
    """The authority, with the installation's account there. Raises AuthorityFailed."""
    properties = session.properties
    url, ca, mail = (properties.computed(GLOBAL, NAMESPACE, key) for key in SETTINGS)
    key = properties.secret(GLOBAL, NAMESPACE, KEY)
    told = f"{url} {mail}"
    known = properties.get(GLOBAL, NAMESPACE, TOLD) == told
    try:
        authority = Authority.connect(url, ca, key, mail, known)
    except AuthorityFailed as error:
        # Said before any domain was named: it is about all of them.
        properties.set(GLOBAL, NAMESPACE, WAIT_UNTIL, str(error.wait_until) if error.wait_until else "")
        raise
    if not known:
        properties.set(GLOBAL, NAMESPACE, TOLD, told)
    return authority


def settings_changed(session: Session) -> None:
    """Another authority, or another way to ask it: pauses were for the old one."""
    session.properties.set(GLOBAL, NAMESPACE, WAIT_UNTIL, "")
    session.attempts.retry_now()


def wanted(session: Session, app: App | None = None) -> dict[App, list[Wanted]]:
    """The domains of the apps (or of one) with automatic certificates, in the order in which they were added."""
    database = session.database
    on = database.rows("SELECT app_id FROM properties WHERE namespace = ? AND key = ?", (NAMESPACE, AUTO))
    ids = {row["app_id"] for row in on}
    if not ids or (app is not None and app.id not in ids):
        return {}
    public = not session.properties.get(GLOBAL, NAMESPACE, DIRECTORY)
    attempts = session.attempts.all(app)
    stored = {(item.app_id, item.domain): item for item in session.certificates.all(app)}
    wait_until = float(session.properties.get(GLOBAL, NAMESPACE, WAIT_UNTIL, "0"))
    found: dict[App, list[Wanted]] = {}
    for reach in reaches(session, app):
        if reach.app.id not in ids:
            continue
        own = stored.get((reach.app.id, OWN))
        found[reach.app] = items = []
        for domain in reach.domains:
            attempt = attempts.get((reach.app.id, domain))
            items.append(
                Wanted(
                    domain,
                    _obstacle(session, reach, own, domain, public),
                    attempt,
                    stored.get((reach.app.id, domain)),
                    max(wait_until, attempt.wait_until if attempt else 0.0),
                )
            )
    return found


def _obstacle(session: Session, reach: Reach, own: Stored | None, domain: str, public: bool) -> str | None:
    if own is not None and covers(own.names, domain):
        return "the app's own certificate is for it"
    if not reach.by_domain(session.settings):
        return "the router's http port does not lead to the app"
    return obstacle(domain, public)
