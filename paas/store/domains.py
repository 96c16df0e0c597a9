"""Domains: those of each app, and the global ones below which new apps get theirs."""

from __future__ import annotations

from collections.abc import Iterable

from paas.store.database import Database
from paas.store.properties import GLOBAL, Properties

NAMESPACE = "domains"
DISABLED = "disabled"
# What is stored when there is no global domain: nothing stored is PAAS_DOMAIN.
NONE = " "


class Domains:
    """The domains table. A domain belongs to one app at most."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.properties = Properties(database)

    def of(self, app_id: int) -> list[str]:
        """In the order in which they were added."""
        rows = self.database.rows("SELECT domain FROM domains WHERE app_id = ? ORDER BY rowid", (app_id,))
        return [row["domain"] for row in rows]

    def owner(self, domain: str) -> int | None:
        """The id of the app that has the domain."""
        row = self.database.row("SELECT app_id FROM domains WHERE domain = ?", (domain,))
        return row["app_id"] if row else None

    def add(self, app_id: int, domain: str) -> None:
        """Nothing happens to a domain that somebody has."""
        self.database.execute("INSERT OR IGNORE INTO domains VALUES (?, ?)", (domain, app_id))

    def remove(self, app_id: int, domain: str) -> None:
        self.database.execute("DELETE FROM domains WHERE app_id = ? AND domain = ?", (app_id, domain))

    def clear(self, app_id: int) -> None:
        self.database.execute("DELETE FROM domains WHERE app_id = ?", (app_id,))

    def enabled(self, app_id: int) -> bool:
        """Whether the app is reached by its domains at all."""
        return self.properties.get(app_id, NAMESPACE, DISABLED) != "true"

    def set_enabled(self, app_id: int, enabled: bool) -> None:
        self.properties.set(app_id, NAMESPACE, DISABLED, "" if enabled else "true")

    def everywhere(self) -> list[str]:
        """The global domains; PAAS_DOMAIN until they are changed for the first time."""
        return self.properties.get(GLOBAL, NAMESPACE, "global", self.database.settings.domain).lower().split()

    def set_everywhere(self, domains: Iterable[str]) -> None:
        self.properties.set(GLOBAL, NAMESPACE, "global", " ".join(dict.fromkeys(domains)) or NONE)
