"""Apps, their domains and their formation."""

from __future__ import annotations

import time
from dataclasses import dataclass

from paas.errors import AppNotFound, NameTaken
from paas.model.names import AppName, ProcessType, printable
from paas.store.database import Database, Row
from paas.store.domains import Domains
from paas.store.properties import Properties

DEFAULT_ENVIRONMENT = "default"


@dataclass(frozen=True)
class App:
    """A row of `apps`; `created_at` in epoch seconds, `current_release` a release number."""

    id: int
    name: AppName
    created_at: int
    current_release: int | None
    stopped: bool
    slot: int

    @property
    def deployed(self) -> bool:
        return self.current_release is not None


class Apps:
    """What apps there are."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def all(self) -> list[App]:
        return [_app(row) for row in self.database.rows("SELECT * FROM apps ORDER BY name")]

    def names(self) -> list[str]:
        return [row["name"] for row in self.database.rows("SELECT name FROM apps ORDER BY name")]

    def find(self, name: str) -> App | None:
        # No other name is stored, and not each can be looked up.
        row = self.database.row("SELECT * FROM apps WHERE name = ?", (name,)) if name.isascii() else None
        return _app(row) if row else None

    def get(self, name: str) -> App:
        """Raises AppNotFound (exit 20), also for what is no name at all."""
        app = self.find(name)
        if app is None:
            raise AppNotFound(app=printable(name))
        return app

    def by_id(self, app_id: int) -> App | None:
        row = self.database.row("SELECT * FROM apps WHERE id = ?", (app_id,))
        return _app(row) if row else None

    def highest_slot(self) -> int:
        """The highest of the router's backends in use, 0 for none."""
        row = self.database.row("SELECT max(slot) FROM apps")
        return (row[0] or 0) if row else 0

    def environments(self) -> dict[str, list[str]]:
        """Aptible's environments, each with its apps' names, sorted; apps without one are in ``default``."""
        found: dict[str, list[str]] = {}
        properties = Properties(self.database)
        for app in self.all():
            name = properties.get(app.id, "app", "environment", DEFAULT_ENVIRONMENT)
            found.setdefault(name, []).append(app.name)
        return dict(sorted(found.items()))

    def set_environment(self, app: App, environment: str) -> None:
        Properties(self.database).set(app.id, "app", "environment", environment)

    def create(self, name: AppName) -> App:
        """Add an app with one web process and its default domains; without any they are disabled. Raises NameTaken."""
        with self.database.transaction():
            if self.find(name):
                raise NameTaken()
            cursor = self.database.execute(
                "INSERT INTO apps (name, created_at, slot) VALUES (?, ?, ?)",
                (name, int(time.time()), self._free_slot()),
            )
            app_id = int(cursor.lastrowid or 0)
            self.database.execute("INSERT INTO formation VALUES (?, 'web', 1)", (app_id,))
            self._add_default_domains(app_id, name)
            if not self.default_domains(name):
                Domains(self.database).set_enabled(app_id, False)
        return self.get(name)

    def rename(self, app: App, name: AppName) -> App:
        """Change the name, and the default domains with it. Raises NameTaken."""
        with self.database.transaction():
            if self.find(name):
                raise NameTaken()
            self.database.execute("UPDATE apps SET name = ? WHERE id = ?", (name, app.id))
            for domain in self.default_domains(app.name):
                self.database.execute("DELETE FROM domains WHERE app_id = ? AND domain = ?", (app.id, domain))
            self._add_default_domains(app.id, name)
        return self.get(name)

    def delete(self, app: App) -> None:
        """Forget the app; its operations stay."""
        with self.database.transaction():
            self.database.execute("DELETE FROM config WHERE app_id = ?", (app.id,))
            self.database.execute("DELETE FROM properties WHERE app_id = ?", (app.id,))
            self.database.execute("DELETE FROM apps WHERE id = ?", (app.id,))

    def set_stopped(self, app: App, stopped: bool) -> None:
        self.database.execute("UPDATE apps SET stopped = ? WHERE id = ?", (int(stopped), app.id))

    def domains(self, app: App) -> list[str]:
        return Domains(self.database).of(app.id)

    def default_domains(self, name: AppName) -> list[str]:
        """APP.DOMAIN for each global domain; an app whose name has a dot is its own domain, as in Dokku."""
        if "." in name:
            return [str(name)]
        return [f"{name}.{domain}" for domain in self.global_domains()]

    def global_domains(self) -> list[str]:
        return Domains(self.database).everywhere()

    def formation(self, app: App) -> dict[ProcessType, int]:
        """Process type to count, sorted by type."""
        rows = self.database.rows(
            "SELECT process_type, quantity FROM formation WHERE app_id = ? ORDER BY process_type", (app.id,)
        )
        return {ProcessType(row["process_type"]): row["quantity"] for row in rows}

    def set_formation(self, app: App, formation: dict[ProcessType, int]) -> None:
        """Replace all counts."""
        with self.database.transaction():
            self.database.execute("DELETE FROM formation WHERE app_id = ?", (app.id,))
            for process_type, quantity in formation.items():
                self.database.execute(
                    "INSERT INTO formation VALUES (?, ?, ?)", (app.id, process_type, quantity)
                )

    def _add_default_domains(self, app_id: int, name: AppName) -> None:
        domains = Domains(self.database)
        for domain in self.default_domains(name):
            domains.add(app_id, domain)

    def _free_slot(self) -> int:
        """The lowest free one, so that the router's stock of backends stays as small as it can."""
        row = self.database.row(
            "SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM apps WHERE slot = 1) THEN 1 ELSE"
            " (SELECT min(slot) + 1 FROM apps a"
            "  WHERE NOT EXISTS (SELECT 1 FROM apps b WHERE b.slot = a.slot + 1)) END"
        )
        return int(row[0]) if row else 1


def _app(row: Row) -> App:
    return App(
        id=row["id"],
        name=AppName(row["name"]),
        created_at=row["created_at"],
        current_release=row["current_release"],
        stopped=bool(row["stopped"]),
        slot=row["slot"],
    )
