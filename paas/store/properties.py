"""Settings of one app or of all: (app or global, namespace, key) to a text."""

from __future__ import annotations

from paas.store.database import Database

GLOBAL = 0


class Properties:
    """The property store; an absent property reads as the given default."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def get(self, app_id: int, namespace: str, key: str, default: str = "") -> str:
        row = self.database.row(
            "SELECT value FROM properties WHERE app_id = ? AND namespace = ? AND key = ?",
            (app_id, namespace, key),
        )
        return row["value"] if row else default

    def computed(self, app_id: int, namespace: str, key: str, default: str = "") -> str:
        """The app's own value, else the global one, else the default."""
        return self.get(app_id, namespace, key) or self.get(GLOBAL, namespace, key) or default

    def set(self, app_id: int, namespace: str, key: str, value: str) -> None:
        """Store, or remove where the value is empty."""
        if value:
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
