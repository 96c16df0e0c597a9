"""certs:set and certs:report — how certificates are had and served, and which there are."""

from __future__ import annotations

from paas.commands.base import FormatOption, ReportWords, session
from paas.commands.certs import group
from paas.commands.properties import add_set_command
from paas.commands.report import Aside, Flags, report
from paas.deploy.routing import acme
from paas.deploy.routing.reroute import rerouted
from paas.model.access import MANAGE, REPORT
from paas.model.certificate import Certificate, moment, moment_of
from paas.store.apps import App
from paas.store.certificates import AUTO, OWN
from paas.store.properties import GLOBAL


def _set(scope: int, key: str, value: str) -> None:
    with rerouted(session()):
        session().properties.set(scope, acme.NAMESPACE, key, value)
        if key in acme.SETTINGS:
            acme.settings_changed(session())


add_set_command(group, acme.NAMESPACE, store=_set, needs=MANAGE)


@group.command("report", options_pass=True, needs=REPORT)
def certs_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show what certificates apps have, and how getting automatic ones goes."""
    report("ssl", words, _flags, False, show_format, _global_flags)


def _flags(app: App) -> Flags:
    domains = acme.wanted(session(), app).get(app, [])
    stored = session().certificates.all(app)
    # The app's own, else the one that ends first.
    first = min(stored, key=lambda item: (item.domain != OWN, item.expires_at), default=None)
    found = session().certificates.find(app, first.domain) if first else None
    is_on = bool(session().properties.get(app.id, acme.NAMESPACE, AUTO))
    names = {name for item in stored for name in item.names}
    return {
        "--ssl-auto": "true" if is_on else Aside("false"),
        # Dokku's folder of the two files; here they are in the database.
        "--ssl-dir": "",
        "--ssl-enabled": str(found is not None).lower(),
        "--ssl-expires-at": moment(found.expires_at) if found else "",
        "--ssl-hostnames": " ".join(sorted(names)),
        "--ssl-issuer": found.issuer if found else "",
        "--ssl-starts-at": moment(found.starts_at) if found else "",
        "--ssl-subject": found.subject if found else "",
        "--ssl-verified": _verified(found),
    } | {f"--status-{item.domain}": _status(item) for item in domains}


def _verified(certificate: Certificate | None) -> str:
    if certificate is None:
        return ""
    return "self signed" if certificate.self_signed else "verified by a certificate authority"


def _status(item: acme.Wanted) -> str:
    """How one domain's automatic certificate stands: its first word is valid, failed, asked, waiting or skipped."""
    if item.obstacle is not None:
        return f"skipped: {item.obstacle}"
    valid = f"valid until {moment_of(item.certificate.expires_at)}" if item.certificate else ""
    attempt = item.attempt
    if attempt is None:
        return valid or "waiting for its first try"
    if attempt.unfinished:
        return "; ".join(filter(None, (f"asked for at {moment_of(attempt.tried_at)}", valid)))
    if attempt.failures:
        times = f" {attempt.failures} times" if attempt.failures > 1 else ""
        said = f"failed{times}: {attempt.reason}"
        return "; ".join(filter(None, (said, f"next try {moment_of(item.due_at)}", valid)))
    return f"{valid or 'waiting'}, renewed from {moment_of(item.due_at)}"


def _global_flags() -> Flags:
    properties = session().properties
    flags = {f"--ssl-global-{key}": properties.get(GLOBAL, acme.NAMESPACE, key) for key in acme.SETTINGS}
    return flags | {
        f"--ssl-computed-{key}": properties.computed(GLOBAL, acme.NAMESPACE, key) for key in acme.SETTINGS
    }
