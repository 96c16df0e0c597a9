"""How asking for automatic certificates went, by app and domain."""

from __future__ import annotations

from collections.abc import Iterable

from paas.model.renewal import Attempt, pause, unfinished_pause
from paas.store.apps import App
from paas.store.database import Database


class Attempts:
    """The attempts table; times in epoch seconds. A domain without a row was never tried."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def all(self, app: App | None = None) -> dict[tuple[int, str], Attempt]:
        """By app's id and domain."""
        if app is None:
            rows = self.database.rows("SELECT * FROM attempts")
        else:
            rows = self.database.rows("SELECT * FROM attempts WHERE app_id = ?", (app.id,))
        return {(row["app_id"], row["domain"]): Attempt(**dict(row)) for row in rows}

    def begin(self, app: App, domains: Iterable[str], now: float) -> None:
        """Before the authority is asked: a killed attempt is tried again soon, but ever less so."""
        known = self.all(app)
        with self.database.transaction():
            for domain in domains:
                before = known.get((app.id, domain))
                unfinished = (before.unfinished if before else 0) + 1
                next_at = now + unfinished_pause(unfinished)
                self.database.execute(
                    "INSERT INTO attempts (app_id, domain, unfinished, tried_at, next_at) VALUES (?, ?, ?, ?, ?)"
                    " ON CONFLICT (app_id, domain) DO UPDATE SET unfinished = excluded.unfinished,"
                    " tried_at = excluded.tried_at, next_at = excluded.next_at",
                    (app.id, domain, unfinished, now, next_at),
                )

    def succeeded(self, app: App, domain: str, next_at: float) -> None:
        self.database.execute(
            "UPDATE attempts SET failures = 0, unfinished = 0, reason = '', wait_until = 0, next_at = ?"
            " WHERE app_id = ? AND domain = ?",
            (next_at, app.id, domain),
        )

    def failed(self, app: App, domain: str, reason: str, now: float, wait_until: float = 0.0) -> Attempt | None:
        """Plan the next attempt, not before `wait_until`. None when the domain was taken away meanwhile."""
        with self.database.transaction():
            before = self.all(app).get((app.id, domain))
            if before is None:
                return None
            next_at = max(now + pause(before.failures + 1), wait_until)
            self.database.execute(
                "UPDATE attempts SET failures = failures + 1, unfinished = 0, reason = ?, wait_until = ?,"
                " next_at = ? WHERE app_id = ? AND domain = ?",
                (reason, wait_until, next_at, app.id, domain),
            )
            return self.all(app)[app.id, domain]

    def retry_now(self) -> None:
        """What failed may be tried at once: how the authority is asked was changed."""
        self.database.execute(
            "UPDATE attempts SET next_at = 0, wait_until = 0 WHERE failures > 0 OR unfinished > 0"
        )

    def forget(self, app: App, domain: str) -> None:
        self.database.execute(
            "DELETE FROM attempts WHERE app_id = ? AND domain = ?", (app.id, domain)
        )
