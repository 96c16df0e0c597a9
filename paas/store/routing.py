"""Which state of what the router depends on the database is in."""

from __future__ import annotations

from paas.store.database import Database


def version(database: Database) -> int:
    """A number that was never used before after every change of apps, domains, processes or properties; inside of a
    transaction, the one that there will be after it."""
    row = database.row("SELECT version FROM routing")
    return int(row[0]) if row else 0


def touch(database: Database) -> None:
    """Something else that routes depend on is about to change."""
    database.execute("UPDATE routing SET version = random()")
