"""A database from a backup, made fit for this machine before it takes the place of the one that is here."""

from __future__ import annotations

import json
import time
from pathlib import Path

from paas.settings import Settings
from paas.store.database import Database

INTERRUPTED = "it was going on when the backup was made; on the machine of the backup it may have ended"


def adapt(database: Database, old_root: str, old_root_id: str, settings: Settings) -> None:
    """Forget what was only true on the machine of the backup, and rename what is named after its PAAS_ROOT."""
    old, new = f"paas-{old_root_id}/", f"paas-{settings.root_id}/"
    with database.transaction():
        database.execute("DELETE FROM processes")
        database.execute("DELETE FROM retirements")
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


def keep_keys(database: Database, here: Path) -> None:
    """Whoever may come in on this machine still may: the keys in the database `here` are added to those of the backup."""
    columns = ", ".join(
        row["name"] for row in database.rows("PRAGMA table_info(ssh_keys)") if row["name"] != "id"
    )
    database.execute("ATTACH DATABASE ? AS here", (str(here),))
    try:
        database.execute(
            f"INSERT OR IGNORE INTO ssh_keys ({columns}) SELECT {columns} FROM here.ssh_keys"  # noqa: S608 - ours
        )
    finally:
        database.execute("DETACH DATABASE here")


def replace_content(database: Database, other: Database) -> None:
    """Everything in `database` becomes what is in `other`, at once, for those too who have it open."""
    other.connection.backup(database.connection)


def _inside(root: str) -> str:
    """How a path below the storage folder begins within JSON."""
    return json.dumps(f"{root}/storage/", ensure_ascii=False)[:-1]
