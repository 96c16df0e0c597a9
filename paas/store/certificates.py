"""The apps' certificates: one per app, chain and key encrypted at rest. The one place where a router reads them."""

from __future__ import annotations

from paas.model.certificate import Certificate
from paas.store.apps import App, Apps
from paas.store.properties import Properties

NAMESPACE = "certs"
CHAIN = "chain"
KEY = "key"


class Certificates:
    """Certificates by app."""

    def __init__(self, properties: Properties) -> None:
        self.properties = properties

    def find(self, app: App) -> Certificate | None:
        """Raises SecretKeyWrong."""
        chain = self.properties.secret(app.id, NAMESPACE, CHAIN)
        if not chain:
            return None
        key = self.properties.secret(app.id, NAMESPACE, KEY)
        return Certificate.parse(*(text.encode("utf-8", "surrogateescape") for text in (chain, key)))

    def has(self, app: App) -> bool:
        """Whether there is one; nothing is decrypted for it."""
        return bool(self.properties.get(app.id, NAMESPACE, CHAIN))

    def all(self) -> dict[App, Certificate]:
        """Every app's that has one."""
        apps = Apps(self.properties.database).all()
        return {app: found for app in apps if (found := self.find(app)) is not None}

    def set(self, app: App, certificate: Certificate) -> None:
        """Store a certificate instead of the one that there may be."""
        with self.properties.database.transaction():
            self.properties.set_secret(app.id, NAMESPACE, CHAIN, certificate.chain)
            self.properties.set_secret(app.id, NAMESPACE, KEY, certificate.key)

    def remove(self, app: App) -> None:
        with self.properties.database.transaction():
            self.properties.set(app.id, NAMESPACE, CHAIN, "")
            self.properties.set(app.id, NAMESPACE, KEY, "")
