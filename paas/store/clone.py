"""A new app with another one's settings."""

from __future__ import annotations

from paas.model.names import AppName
from paas.store.apps import App, Apps
from paas.store.database import Database

# What belongs to one app only: its names outside, its certificates, and what is going on with it.
NOT_COPIED = {
    ("app", "lock"),
    ("app", "deploy-source"),
    ("app", "deploy-source-metadata"),
    ("registry", "image-repo"),
    ("registry", "pushing"),
    ("registry", "tag-version"),
}
NAMESPACES_NOT_COPIED = {"domains"}


def copy_settings(database: Database, app: App, name: AppName) -> App:
    """Config, properties and formation; the new app has its own default domains. Raises NameTaken."""
    apps = Apps(database)
    with database.transaction():
        copy = apps.create(name)
        apps.set_formation(copy, apps.formation(app))
        database.execute(
            "INSERT INTO config SELECT ?, key, value FROM config WHERE app_id = ?", (copy.id, app.id)
        )
        for row in database.rows("SELECT * FROM properties WHERE app_id = ?", (app.id,)):
            key = (row["namespace"], row["key"])
            if key not in NOT_COPIED and row["namespace"] not in NAMESPACES_NOT_COPIED:
                database.execute(
                    "INSERT OR REPLACE INTO properties VALUES (?, ?, ?, ?)", (copy.id, *key, row["value"])
                )
    return copy
