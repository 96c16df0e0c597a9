"""Logins at registries, of one app or of all, encrypted at rest."""

from __future__ import annotations

import json

from paas.store.properties import GLOBAL, Properties

NAMESPACE = "registry-login"


class Logins:
    """User and password by registry server; an app's own counts before the global one."""

    def __init__(self, properties: Properties) -> None:
        self.properties = properties

    def set(self, app_id: int, server: str, username: str, password: str) -> None:
        """Remember a login of an app, or (GLOBAL) of all."""
        self.properties.set_secret(app_id, NAMESPACE, server, json.dumps([username, password]))

    def remove(self, app_id: int, server: str) -> bool:
        """Forget a login of exactly this scope. Returns whether there was one."""
        there = bool(self.properties.get(app_id, NAMESPACE, server))
        self.properties.set(app_id, NAMESPACE, server, "")
        return there

    def find(self, app_id: int, server: str) -> tuple[str, str] | None:
        """User and password for a server. Raises SecretKeyWrong."""
        for scope in (app_id, GLOBAL):
            stored = self.properties.secret(scope, NAMESPACE, server)
            if stored:
                username, password = json.loads(stored)
                return username, password
        return None

    def servers(self, app_id: int) -> list[str]:
        """The servers that an app has a login for, its own or a global one, sorted."""
        scopes = (app_id, GLOBAL)
        return sorted({server for scope in scopes for server in self.properties.all(scope, NAMESPACE)})
