"""Which key may do what on which app, and what was refused."""

from __future__ import annotations

import time
from dataclasses import dataclass

from paas.model.access import Rights, Role
from paas.model.caller import Caller
from paas.store.apps import App
from paas.store.database import Database
from paas.store.keys import Key

MAX_REFUSALS = 10_000  # rows; a row a key and command, so that many keys come before it


@dataclass(frozen=True)
class Refusal:
    """What a key was refused with a command, `count` times between `first_at` and `last_at` (epoch seconds)."""

    caller: str
    kind: str
    app_name: str
    door: str
    message: str
    first_at: float
    last_at: float
    count: int


class Access:
    """The roles of keys."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def rights(self, key_id: int) -> Rights:
        """What a key may do; nothing for one that is gone."""
        key = self.database.row("SELECT admin FROM ssh_keys WHERE id = ?", (key_id,))
        if key is None:
            return Rights()
        return Rights(admin=True) if key["admin"] else Rights(roles=self._roles(key_id))

    def roles(self, key: Key) -> dict[str, Role]:
        """By the app's name, sorted."""
        return {name: role for name, (_, role) in self._roles(key.id).items()}

    def _roles(self, key_id: int) -> dict[str, tuple[int, Role]]:
        rows = self.database.rows(
            "SELECT apps.id, apps.name, grants.role FROM grants JOIN apps ON apps.id = grants.app_id"
            " WHERE grants.key_id = ? ORDER BY apps.name",
            (key_id,),
        )
        return {row["name"]: (row["id"], Role.parse(row["role"])) for row in rows}

    def grant(self, key: Key, role: Role, app: App) -> None:
        """The key's role on the app, instead of the one that it had there."""
        self.database.execute("INSERT OR REPLACE INTO grants VALUES (?, ?, ?)", (key.id, app.id, str(role)))

    def revoke(self, key: Key, app: App) -> bool:
        """Whether the key had a role there."""
        done = self.database.execute("DELETE FROM grants WHERE key_id = ? AND app_id = ?", (key.id, app.id))
        return done.rowcount > 0

    def set_admin(self, key: Key, admin: bool) -> None:
        """Make the key an administrator's, or one that has no role anywhere."""
        with self.database.transaction():
            self.database.execute("UPDATE ssh_keys SET admin = ? WHERE id = ?", (int(admin), key.id))
            self.database.execute("DELETE FROM grants WHERE key_id = ?", (key.id,))


class Refusals:
    """Attempts that were refused, counted by key and command."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def record(self, caller: Caller, kind: str, app: str, message: str) -> None:
        """Count one. It takes no more room than the first one of its key and command."""
        now = time.time()
        with self.database.transaction():
            self.database.execute(
                "INSERT INTO refusals VALUES (?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET"
                " app_name = excluded.app_name, door = excluded.door, message = excluded.message,"
                " last_at = excluded.last_at, count = count + 1",
                (caller.name, kind, app, caller.door, message, now, now),
            )
            self.database.execute(
                "DELETE FROM refusals WHERE (caller, kind) IN"
                " (SELECT caller, kind FROM refusals ORDER BY last_at DESC LIMIT -1 OFFSET ?)",
                (MAX_REFUSALS,),
            )

    def since(self, moment: float = 0, app: str = "", caller: str = "") -> list[Refusal]:
        """Those of which the last one was at `moment` or later, oldest first; of an app's name, of a key."""
        rows = self.database.rows(
            "SELECT * FROM refusals WHERE last_at >= ? AND (? IN ('', app_name)) AND (? IN ('', caller))"
            " ORDER BY last_at",
            (moment, app, caller),
        )
        return [Refusal(**{name: row[name] for name in row.keys()}) for row in rows]
