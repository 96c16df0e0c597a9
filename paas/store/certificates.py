"""The apps' certificates, chain and key encrypted at rest: the one place where the router reads them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from paas.model.certificate import Certificate
from paas.store.apps import App
from paas.store.database import Database

OWN = ""  # the `domain` of the certificate that the app's people brought
# Properties in `certs`: whether an app has automatic ones; of all apps, what the router answers an authority with.
AUTO = "auto"
THUMBPRINT = "acme-thumbprint"


@dataclass(frozen=True)
class Stored:
    """A row without what is secret. `names` are what it is for; times in epoch seconds."""

    id: int
    app_id: int
    domain: str
    names: tuple[str, ...]
    fingerprint: str
    starts_at: int
    expires_at: int


class Certificates:
    """Certificates by app: one of its own, and one for each domain that has an automatic one."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def all(self, app: App | None = None) -> list[Stored]:
        """Every certificate, of one app or of all; nothing is decrypted for it."""
        columns = "id, app_id, domain, names, fingerprint, starts_at, expires_at"
        query = f"SELECT {columns} FROM certificates"  # noqa: S608 - a constant
        if app is None:
            rows = self.database.rows(f"{query} ORDER BY app_id, domain")
        else:
            rows = self.database.rows(f"{query} WHERE app_id = ? ORDER BY domain", (app.id,))
        return [Stored(**{**dict(row), "names": tuple(row["names"].split())}) for row in rows]

    def find(self, app: App, domain: str = OWN) -> Certificate | None:
        """Raises SecretKeyWrong."""
        row = self.database.row(
            "SELECT chain, key FROM certificates WHERE app_id = ? AND domain = ?", (app.id, domain)
        )
        if row is None:
            return None
        texts = (self.database.secrets.decrypt(row[name]) for name in ("chain", "key"))
        return Certificate.parse(*(text.encode("utf-8", "surrogateescape") for text in texts))

    def bundle(self, certificate_id: int) -> str:
        """Chain and key in PEM, as a server loads them. Raises SecretKeyWrong."""
        row = self.database.row("SELECT chain, key FROM certificates WHERE id = ?", (certificate_id,))
        if row is None:
            return ""
        chain, key = (self.database.secrets.decrypt(row[name]) for name in ("chain", "key"))
        return f"{chain.rstrip()}\n{key.rstrip()}\n"

    def has(self, app: App, domain: str = OWN) -> bool:
        """Whether there is one; nothing is decrypted for it."""
        query = "SELECT 1 FROM certificates WHERE app_id = ? AND domain = ?"
        return self.database.row(query, (app.id, domain)) is not None

    def set(self, app: App, certificate: Certificate, domain: str = OWN) -> None:
        """Store a certificate instead of the one that there may be."""
        secrets = self.database.secrets
        with self.database.transaction():
            self.remove(app, domain)
            self.database.execute(
                "INSERT INTO certificates (app_id, domain, names, fingerprint, starts_at, expires_at, chain, key)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    app.id,
                    domain,
                    " ".join(certificate.names),
                    hashlib.sha256(certificate.bundle.encode("utf-8", "surrogateescape")).hexdigest(),
                    int(certificate.starts_at.timestamp()),
                    int(certificate.expires_at.timestamp()),
                    secrets.encrypt(certificate.chain),
                    secrets.encrypt(certificate.key),
                ),
            )

    def remove(self, app: App, domain: str = OWN) -> None:
        self.database.execute("DELETE FROM certificates WHERE app_id = ? AND domain = ?", (app.id, domain))
