"""Storage entries of the installation, and the mounts of apps."""

from __future__ import annotations

import json

from paas.errors import PaasError
from paas.model.names import printable
from paas.model.storage import LEGACY, Attachment, Entry
from paas.store.apps import App
from paas.store.database import Database
from paas.store.properties import GLOBAL, Properties

ENTRIES = "storage-entry"
NAMESPACE = "storage"
MOUNTS = "mounts"


class NoSuchEntry(PaasError):
    """storage entry "{name}" does not exist"""


class Storage:
    """What there is. An entry of a mount that named none is there as long as such a mount is."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.properties = Properties(database)

    def entries(self) -> list[Entry]:
        """All, sorted by name."""
        found = {name: _entry(name, text) for name, text in self.properties.all(GLOBAL, ENTRIES).items()}
        for mounts in self._all_mounts().values():
            for item in mounts:
                if item.entry_name.startswith(LEGACY):
                    found[item.entry_name] = Entry(item.entry_name, item.host_path)
        return sorted(found.values(), key=lambda entry: entry.name)

    def find(self, name: str) -> Entry | None:
        return next((entry for entry in self.entries() if entry.name == name), None)

    def get(self, name: str) -> Entry:
        """Raises NoSuchEntry."""
        entry = self.find(name)
        if entry is None:
            raise NoSuchEntry(name=printable(name))
        return entry

    def save(self, entry: Entry) -> None:
        values = {"host_path": entry.host_path, "chown": entry.chown, "mode": entry.mode}
        self.properties.set(GLOBAL, ENTRIES, entry.name, json.dumps(values, ensure_ascii=False))

    def forget(self, entry: Entry) -> None:
        self.properties.set(GLOBAL, ENTRIES, entry.name, "")

    def mounts(self, app_id: int) -> list[Attachment]:
        """An app's mounts, in the order in which they were made."""
        return [Attachment.load(text) for text in self.properties.items(app_id, NAMESPACE, MOUNTS)]

    def set_mounts(self, app: App, mounts: list[Attachment]) -> None:
        self.properties.set_items(app.id, NAMESPACE, MOUNTS, [item.dump() for item in mounts])

    def apps_using(self, name: str) -> list[str]:
        """The names of the apps that mount an entry, sorted."""
        return sorted(
            app
            for app, mounts in self._all_mounts().items()
            if any(item.entry_name == name for item in mounts)
        )

    def _all_mounts(self) -> dict[str, list[Attachment]]:
        rows = self.database.rows(
            "SELECT name, value FROM properties JOIN apps ON apps.id = app_id WHERE namespace = ? AND key = ?",
            (NAMESPACE, MOUNTS),
        )
        return {row["name"]: [Attachment.load(text) for text in json.loads(row["value"])] for row in rows}


def _entry(name: str, text: str) -> Entry:
    return Entry(name, **json.loads(text))
