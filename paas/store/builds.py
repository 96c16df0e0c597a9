"""Builds, a view on the record of operations, and how long logs are kept.

Records of changes stay; their logs are kept for as many builds, and as many other changes, as an app's retention says.
Runs of scheduled tasks change nothing and are many: beyond the retention their records go too.
"""

from __future__ import annotations

from paas.model.build import BUILDING, DEPLOYING, Build, build_of
from paas.model.cron import RUN_KIND
from paas.model.operation import Operation
from paas.store.database import Database
from paas.store.operations import Operations, alive

# How many logs beyond those that are kept are looked for when an operation ends: one is new each time, the rest
# makes up for operations that had none.
WINDOW = 100
ALL = -1

_KINDS = (*BUILDING, *DEPLOYING)
_IS_BUILD = f"(kind IN ({', '.join('?' * len(_KINDS))}) OR release IS NOT NULL)"
_ENDED = "status NOT IN ('queued', 'running')"


class Builds:
    """The builds of apps, newest first."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.operations = Operations(database)

    def of(self, app_id: int, keep: int) -> list[Build]:
        """The app's last `keep` builds."""
        return self._builds("app_id = ?", (app_id,), keep)

    def open(self, app_id: int | None = None) -> list[Build]:
        """Those that run or wait for their turn, of one app or of all."""
        of_app, values = ("", ()) if app_id is None else (" AND app_id = ?", (app_id,))
        return self._builds(f"status IN ('queued', 'running'){of_app}", values, ALL)

    def find(self, app_id: int, number: int) -> Build | None:
        found = self._builds("app_id = ? AND id = ?", (app_id, number), 1)
        return found[0] if found else None

    def prune(self, app_id: int, keep: int, window: int = WINDOW) -> int:
        """Remove the logs of the app's ended operations but for the last `keep` builds, task runs and other changes.

        Looks at no more than `window` operations of each sort, ALL for every one. Returns how many logs went.
        """
        ids: list[int] = []
        for where, values in (
            (_IS_BUILD, _KINDS),
            (f"NOT {_IS_BUILD} AND kind <> ?", (*_KINDS, RUN_KIND)),
            ("kind = ?", (RUN_KIND,)),
        ):
            rows = self.database.rows(
                f"SELECT id FROM operations WHERE app_id = ? AND {_ENDED} AND {where}"  # noqa: S608
                " ORDER BY id DESC LIMIT ? OFFSET ?",
                (app_id, *values, window, keep),
            )
            found = [row["id"] for row in rows]
            ids += found
            if values == (RUN_KIND,):
                self._forget(found)
        return self._remove_logs(ids)

    def prune_gone(self) -> int:
        """Remove the logs of operations on apps that do not exist any more. Returns how many went."""
        rows = self.database.rows(
            f"SELECT id FROM operations WHERE {_ENDED} AND app_id NOT IN (SELECT id FROM apps)"  # noqa: S608
        )
        return self._remove_logs([row["id"] for row in rows])

    def _forget(self, ids: list[int]) -> None:
        with self.database.transaction():
            for number in ids:
                self.database.execute("DELETE FROM operations WHERE id = ?", (number,))

    def _remove_logs(self, ids: list[int]) -> int:
        removed = 0
        for number in ids:
            try:
                self.operations.log_path(number).unlink()
            except OSError:
                continue
            removed += 1
        return removed

    def _builds(self, where: str, values: tuple[object, ...], limit: int) -> list[Build]:
        rows = self.database.rows(
            f"SELECT * FROM operations WHERE {where} AND {_IS_BUILD} ORDER BY id DESC LIMIT ?",  # noqa: S608
            (*values, *_KINDS, limit),
        )
        records = [Operation(**{name: row[name] for name in row.keys()}) for row in rows]
        return [
            build_of(record, alive(record), str(self.operations.log_path(record.id))) for record in records
        ]
