"""A database from a backup, made fit for this machine before it takes the place of the one that is here."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator

from paas.settings import Settings
from paas.store.database import Database

INTERRUPTED = "it was going on when the backup was made; on the machine of the backup it may have ended"


def adapt(database: Database, old_root: str, old_root_id: str, settings: Settings) -> None:
    """Forget what was only true on the machine of the backup, and rename what is named after its PAAS_ROOT."""
    old, new = f"paas-{old_root_id}/", f"paas-{settings.root_id}/"
    with database.transaction():
        database.execute("DELETE FROM processes")
        database.execute("DELETE FROM retirements")
        database.execute("DELETE FROM addresses")
        database.execute(
            "UPDATE operations SET status = 'failed', finished_at = ?, message = ? WHERE status IN ('queued', 'running')",
            (time.time(), INTERRUPTED),
        )
        database.execute("UPDATE releases SET status = 'failed' WHERE status = 'pending'")
        database.execute(
            "UPDATE releases SET image_tag = ? || substr(image_tag, ?) WHERE substr(image_tag, 1, ?) = ?",
            (new, len(old) + 1, len(old), old),
        )
        database.execute(
            "UPDATE properties SET value = replace(value, ?, ?) WHERE namespace IN ('storage', 'storage-entry')",
            (_inside(old_root), _inside(str(settings.root))),
        )


def keep_keys(database: Database, here: Database) -> list[tuple[str, str]]:
    """Whoever may come in on this machine still may: its keys are added to those of the backup.

    One whose name is another key's there gets a number behind it; the (old, new) names of such.
    """
    renamed = []
    with database.transaction():
        known = {row["fingerprint"] for row in database.rows("SELECT fingerprint FROM ssh_keys")}
        names = {row["name"] for row in database.rows("SELECT name FROM ssh_keys")}
        for row in here.rows("SELECT * FROM ssh_keys ORDER BY id"):
            if row["fingerprint"] in known:
                continue
            values = {name: row[name] for name in row.keys() if name != "id"}
            values["name"] = next(name for name in _numbered(row["name"]) if name not in names)
            if values["name"] != row["name"]:
                renamed.append((row["name"], values["name"]))
            names.add(values["name"])
            marks = ", ".join("?" for _ in values)
            database.execute(
                f"INSERT INTO ssh_keys ({', '.join(values)}) VALUES ({marks})",  # noqa: S608 - ours
                list(values.values()),
            )
    return renamed


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in itertools.count(2))


def replace_content(database: Database, other: Database) -> None:
    """Everything in `database` becomes what is in `other`, at once, for those too who have it open."""
    other.connection.backup(database.connection)


def _inside(root: str) -> str:
    """How a path below the storage folder begins within JSON."""
    return json.dumps(f"{root}/storage/", ensure_ascii=False)[:-1]
