"""Releases, the processes that serve now, and the containers that wait to be stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

from paas.errors import NotDeployed, PaasError
from paas.model.cron import CronTask
from paas.model.names import ProcessType
from paas.model.release import Formation, Manifest, Process, Release
from paas.store.apps import App, Apps
from paas.store.config import Config
from paas.store.database import Database, Row


class NoSuchRelease(PaasError):
    """App {app} has no successful release {number}. See the list with releases {app}"""


@dataclass(frozen=True)
class Retirement:
    """A container that is out of rotation and stopped at `due_at` (epoch seconds) at the latest."""

    container_id: str
    app_id: int
    slot: int
    server: str
    due_at: int


class Releases:
    """The releases of apps."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def all(self, app: App) -> list[Release]:
        """Newest first."""
        rows = self.database.rows("SELECT * FROM releases WHERE app_id = ? ORDER BY number DESC", (app.id,))
        return [self._release(row) for row in rows]

    def find(self, app_id: int, number: int | None) -> Release | None:
        row = self.database.row("SELECT * FROM releases WHERE app_id = ? AND number = ?", (app_id, number))
        return self._release(row) if row else None

    def current(self, app: App) -> Release:
        """The release that serves. Raises NotDeployed."""
        release = self.find(app.id, app.current_release)
        if release is None:
            raise NotDeployed(app=app.name)
        return release

    def scheduled(self) -> dict[int, tuple[CronTask, ...]]:
        """The scheduled tasks of the releases that serve, by app; apps without one are left out."""
        rows = self.database.rows(
            "SELECT app_id, manifest FROM apps JOIN releases ON app_id = apps.id AND number = current_release"
            " WHERE json_array_length(manifest, '$.cron') > 0"
        )
        return {row["app_id"]: Manifest.from_json(row["manifest"]).cron for row in rows}

    def to_roll_back_to(self, app: App, number: int | None) -> Release:
        """Release `number`, or the successful one before the current. Raises NoSuchRelease."""
        if number is None:
            row = self.database.row(
                "SELECT * FROM releases WHERE app_id = ? AND status = 'succeeded' AND number < ?"
                " ORDER BY number DESC LIMIT 1",
                (app.id, app.current_release or 0),
            )
        else:
            row = self.database.row(
                "SELECT * FROM releases WHERE app_id = ? AND status = 'succeeded' AND number = ?",
                (app.id, number),
            )
        if row is None:
            raise NoSuchRelease(app=app.name, number=f"r{number}" if number else "before the current one")
        return self._release(row)

    def next_number(self, app: App) -> int:
        row = self.database.row("SELECT max(number) FROM releases WHERE app_id = ?", (app.id,))
        return (row[0] or 0) + 1 if row else 1

    def add(self, release: Release) -> None:
        """Record a pending release."""
        self.database.execute(
            "INSERT INTO releases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                release.app_id,
                release.number,
                release.status,
                release.operation_id,
                release.created_at,
                release.description,
                release.commit,
                release.image_name,
                release.image_id,
                release.image_tag,
                self.database.secrets.encrypt_mapping(release.config),
                release.manifest.to_json(),
                json.dumps(release.formation),
            ),
        )

    def set_image(self, release: Release) -> None:
        """A command of the release phase made another image of it."""
        self.database.execute(
            "UPDATE releases SET image_id = ? WHERE app_id = ? AND number = ?",
            (release.image_id, release.app_id, release.number),
        )

    def keep(self, release: Release) -> None:
        """A release that is done but does not serve."""
        self.database.execute(
            "UPDATE releases SET status = 'succeeded' WHERE app_id = ? AND number = ?",
            (release.app_id, release.number),
        )

    def fail(self, app_id: int, number: int) -> None:
        self.database.execute(
            "UPDATE releases SET status = 'failed' WHERE app_id = ? AND number = ? AND status = 'pending'",
            (app_id, number),
        )

    def forget(self, app_id: int, number: int) -> None:
        self.database.execute("DELETE FROM releases WHERE app_id = ? AND number = ?", (app_id, number))

    def pending(self, app_id: int) -> list[Release]:
        rows = self.database.rows("SELECT * FROM releases WHERE app_id = ? AND status = 'pending'", (app_id,))
        return [self._release(row) for row in rows]

    def commit(
        self,
        app: App,
        release: Release,
        processes: list[Process],
        formation: Formation,
        config: dict[str, str],
        retired: Iterable[Retirement],
    ) -> None:
        """The one transaction that makes `release` current, with its processes, formation and config."""
        apps = Apps(self.database)
        with self.database.transaction():
            self.database.execute(
                "UPDATE releases SET status = 'succeeded' WHERE app_id = ? AND number = ?",
                (app.id, release.number),
            )
            self.database.execute(
                "UPDATE apps SET current_release = ?, stopped = 0 WHERE id = ?", (release.number, app.id)
            )
            apps.set_formation(app, formation)
            Config(self.database, app.id).replace(config)
            self.set_processes(app, processes, retired)

    def processes(self, app_id: int) -> list[Process]:
        """The containers that serve, by type and number."""
        rows = self.database.rows(
            "SELECT * FROM processes WHERE app_id = ? ORDER BY process_type, number", (app_id,)
        )
        return [_process(row) for row in rows]

    def process(self, container_id: str) -> Process | None:
        """The serving process in a container, None when it does not serve (any more)."""
        row = self.database.row("SELECT * FROM processes WHERE container_id = ?", (container_id,))
        return _process(row) if row else None

    def kept_images(self) -> set[str]:
        """The engine's names for images of every app's releases that are there or on their way."""
        rows = self.database.rows("SELECT DISTINCT image_tag FROM releases WHERE status != 'failed'")
        return {row["image_tag"] for row in rows}

    def all_processes(self) -> list[Process]:
        return [
            _process(row) for row in self.database.rows("SELECT * FROM processes ORDER BY app_id, number")
        ]

    def set_processes(self, app: App, processes: list[Process], retired: Iterable[Retirement]) -> None:
        """Replace the app's serving containers and note which ones are to be stopped."""
        with self.database.transaction():
            self.database.execute("DELETE FROM processes WHERE app_id = ?", (app.id,))
            for process in processes:
                self.database.execute(
                    "INSERT INTO processes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        process.container_id,
                        process.app_id,
                        process.release,
                        process.process_type,
                        process.number,
                        process.address,
                        process.port,
                        process.down,
                    ),
                )
            for item in retired:
                self.database.execute(
                    "INSERT OR REPLACE INTO retirements VALUES (?, ?, ?, ?, ?)",
                    (item.container_id, item.app_id, item.slot, item.server, item.due_at),
                )

    def move_process(self, process: Process) -> None:
        """A container ended, or came back, perhaps at another address."""
        self.database.execute(
            "UPDATE processes SET address = ?, port = ?, down = ? WHERE container_id = ?",
            (process.address, process.port, process.down, process.container_id),
        )

    def retirements(self, app_id: int | None = None) -> list[Retirement]:
        """What waits to be stopped, the soonest first."""
        where, parameters = ("WHERE app_id = ?", (app_id,)) if app_id is not None else ("", ())
        rows = self.database.rows(f"SELECT * FROM retirements {where} ORDER BY due_at", parameters)  # noqa: S608
        return [
            Retirement(row["container_id"], row["app_id"], row["slot"], row["server"], row["due_at"])
            for row in rows
        ]

    def retired(self, container_id: str) -> None:
        self.database.execute("DELETE FROM retirements WHERE container_id = ?", (container_id,))

    def _release(self, row: Row) -> Release:
        return Release(
            app_id=row["app_id"],
            number=row["number"],
            status=row["status"],
            operation_id=row["operation_id"],
            created_at=row["created_at"],
            description=row["description"],
            commit=row["commit_id"],
            image_name=row["image_name"],
            image_id=row["image_id"],
            image_tag=row["image_tag"],
            config=self.database.secrets.decrypt_mapping(row["config"]),
            manifest=Manifest.from_json(row["manifest"]),
            formation={ProcessType(k): v for k, v in json.loads(row["formation"]).items()},
        )


def now() -> int:
    """Epoch seconds, as the tables hold them."""
    return int(time.time())


def _process(row: Row) -> Process:
    return Process(
        container_id=row["container_id"],
        app_id=row["app_id"],
        release=row["release"],
        process_type=ProcessType(row["process_type"]),
        number=row["number"],
        address=row["address"],
        port=row["port"],
        down=bool(row["down"]),
    )
