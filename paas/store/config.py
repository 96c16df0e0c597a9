"""Config: environment variables of an app or of all apps, encrypted at rest."""

from __future__ import annotations

from paas.store.database import Database
from paas.store.properties import GLOBAL


class Config:
    """Reads and writes the variables of one scope (an app's id, or GLOBAL)."""

    def __init__(self, database: Database, app_id: int) -> None:
        self.database = database
        self.app_id = app_id

    def all(self) -> dict[str, str]:
        """Sorted by key, bytewise: upper before lower."""
        rows = self.database.rows(
            "SELECT key, value FROM config WHERE app_id = ? ORDER BY key", (self.app_id,)
        )
        return {row["key"]: self.database.secrets.decrypt(row["value"]) for row in rows}

    def keys(self) -> list[str]:
        rows = self.database.rows("SELECT key FROM config WHERE app_id = ? ORDER BY key", (self.app_id,))
        return [row["key"] for row in rows]

    def get(self, key: str) -> str | None:
        row = self.database.row("SELECT value FROM config WHERE app_id = ? AND key = ?", (self.app_id, key))
        return self.database.secrets.decrypt(row["value"]) if row else None

    def merged(self) -> dict[str, str]:
        """Global variables under the app's own, sorted."""
        values = Config(self.database, GLOBAL).all() | self.all()
        return dict(sorted(values.items()))

    def replace(self, values: dict[str, str]) -> None:
        """Make `values` all there is."""
        with self.database.transaction():
            self.database.execute("DELETE FROM config WHERE app_id = ?", (self.app_id,))
            for key, value in values.items():
                self.database.execute(
                    "INSERT INTO config VALUES (?, ?, ?)",
                    (self.app_id, key, self.database.secrets.encrypt(value)),
                )
