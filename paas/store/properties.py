"""Settings of one app or of all: (app or global, namespace, key) to a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from paas.model.properties import default_of
from paas.store.database import Database

if TYPE_CHECKING:
    from paas.store.apps import App

GLOBAL = 0


class Properties:
    """The property store. What can be set by users is declared in paas.model.properties, with its default."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def get(self, app_id: int, namespace: str, key: str, default: str = "") -> str:
        """What is stored for exactly this scope."""
        row = self.database.row(
            "SELECT value FROM properties WHERE app_id = ? AND namespace = ? AND key = ?",
            (app_id, namespace, key),
        )
        return row["value"] if row else default

    def computed(self, app_id: int, namespace: str, key: str, default: str | None = None) -> str:
        """The app's own value, else the global one, else the declared default."""
        row = self.database.row(
            "SELECT value FROM properties WHERE app_id IN (?, ?) AND namespace = ? AND key = ? ORDER BY app_id DESC LIMIT 1",
            (app_id, GLOBAL, namespace, key),
        )
        if row:
            return str(row["value"])
        return default_of(namespace, key) if default is None else default

    def set(self, app_id: int, namespace: str, key: str, value: str, keep_empty: bool = False) -> None:
        """Store, or remove where the value is empty (`keep_empty`: store that it is)."""
        if value or keep_empty:
            self.database.execute(
                "INSERT INTO properties VALUES (?, ?, ?, ?)"
                " ON CONFLICT (app_id, namespace, key) DO UPDATE SET value = excluded.value",
                (app_id, namespace, key, value),
            )
        else:
            self.database.execute(
                "DELETE FROM properties WHERE app_id = ? AND namespace = ? AND key = ?",
                (app_id, namespace, key),
            )

    def all(self, app_id: int, namespace: str) -> dict[str, str]:
        """Every stored key of a namespace in exactly this scope, sorted."""
        rows = self.database.rows(
            "SELECT key, value FROM properties WHERE app_id = ? AND namespace = ? ORDER BY key",
            (app_id, namespace),
        )
        return {row["key"]: row["value"] for row in rows}

    def by_app(self, namespace: str, only: App | None = None) -> dict[int, dict[str, str]]:
        """Every stored key of a namespace, of all apps or of `only` one, by app id: one query."""
        mine = "TRUE" if only is None else f"app_id = {only.id}"
        query = f"SELECT * FROM properties WHERE {mine} AND app_id <> {GLOBAL} AND namespace = ?"  # noqa: S608
        found: dict[int, dict[str, str]] = {}
        for row in self.database.rows(query, (namespace,)):
            found.setdefault(row["app_id"], {})[row["key"]] = row["value"]
        return found

    def items(self, app_id: int, namespace: str, key: str) -> list[str]:
        """A property that is a list."""
        stored = self.get(app_id, namespace, key)
        return json.loads(stored) if stored else []

    def set_items(self, app_id: int, namespace: str, key: str, items: list[str]) -> None:
        self.set(app_id, namespace, key, json.dumps(items, ensure_ascii=False) if items else "")

    def secret(self, app_id: int, namespace: str, key: str) -> str:
        """A property that is encrypted at rest. Raises SecretKeyWrong."""
        stored = self.get(app_id, namespace, key)
        return self.database.secrets.decrypt(stored.encode()) if stored else ""

    def set_secret(self, app_id: int, namespace: str, key: str, value: str) -> None:
        encrypted = self.database.secrets.encrypt(value).decode() if value else ""
        self.set(app_id, namespace, key, encrypted)
