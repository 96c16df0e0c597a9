"""paas.db: one SQLite file, opened by each command for itself, brought up to date by numbered migrations."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from paas.errors import PaasError
from paas.settings import Settings
from paas.store.secrets import Secrets

BUSY_TIMEOUT_SECONDS = 20.0
KEPT_COPIES = 3  # of before the last migrations
MIGRATIONS = Path(__file__).parent / "migrations"

Row = sqlite3.Row


class DatabaseTooNew(PaasError):
    """{path} was written by a newer paas (schema {found}, this program knows {known}). Nothing was changed. Install that version again"""


class DatabaseFailed(PaasError):
    """{path} can't be used: {reason}. Nothing was changed. Check the disk (df {root}) and who owns {root}"""


class NoText(PaasError):
    """A word of the command holds bytes that are no UTF-8. Nothing was changed"""


class Database:
    """One connection. Reads see committed state; `transaction()` makes several writes one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.path = settings.database_path
        try:
            _make_private_dirs(settings)
            self.connection = sqlite3.connect(
                self.path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
            )
            self.connection.row_factory = sqlite3.Row
            self.connection.execute("PRAGMA foreign_keys = ON")
            self.connection.execute("PRAGMA synchronous = NORMAL")
            self._migrate()
        except (sqlite3.Error, OSError) as error:
            raise DatabaseFailed(path=self.path, root=settings.root, reason=error) from error

    @classmethod
    def reading(cls, settings: Settings, path: Path) -> Database:
        """A copy of the database somewhere else, of this program's version, for reading. Raises DatabaseFailed."""
        opened = cls.__new__(cls)
        opened.settings, opened.path = settings, path
        try:
            opened.connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
            opened.connection.row_factory = sqlite3.Row
        except sqlite3.Error as error:
            raise DatabaseFailed(path=path, root=settings.root, reason=error) from error
        return opened

    @property
    def secrets(self) -> Secrets:
        return Secrets.of(self.settings.root)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Raises DatabaseFailed, or sqlite3.IntegrityError where a rule of the tables is broken."""
        with self._failures():
            return self.connection.execute(sql, parameters)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        with self._failures():
            return self.connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        with self._failures():
            row: Row | None = self.connection.execute(sql, parameters).fetchone()
        return row

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise DatabaseFailed(path=self.path, root=self.settings.root, reason=error) from error
        except UnicodeEncodeError:
            # Without the word: it may be a password.
            raise NoText() from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside happen or none. Blocks joined inside another one become part of it."""
        if self.connection.in_transaction:
            yield
            return
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            # A full disk may have undone it already.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def changes(self) -> int:
        """A number that becomes another one when somebody else has written."""
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        self.connection.close()

    def _migrate(self) -> None:
        known = len(migrations())
        if self._version() == known:
            return
        self.connection.execute("PRAGMA journal_mode = WAL")
        with self.transaction():
            found = self._version()
            if found > known:
                raise DatabaseTooNew(path=self.path, found=found, known=known)
            if found:
                self._keep_copy(known)
            for sql in migrations()[found:]:
                for statement in _statements(sql):
                    self.connection.execute(statement)
            self.connection.execute(f"PRAGMA user_version = {known}")

    def _keep_copy(self, new: int) -> None:
        """What was there before the migrations, beside the database; this transaction keeps writers out meanwhile."""
        kept = self.path.with_name(f"{self.path.name}.before-{new}")
        copy_database(self.path, kept)
        for old in _copies(self.path)[:-KEPT_COPIES]:
            old.unlink(missing_ok=True)

    def _version(self) -> int:
        return int(self.connection.execute("PRAGMA user_version").fetchone()[0])


def copy_database(source: Path, target: Path) -> None:
    """A whole and consistent copy, readable by its owner only, while others read and write. Raises sqlite3.Error, OSError."""
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with (
            contextlib.closing(sqlite3.connect(source, timeout=BUSY_TIMEOUT_SECONDS)) as reader,
            contextlib.closing(sqlite3.connect(draft)) as writer,
        ):
            reader.backup(writer)
            # One file: the copy of a database in WAL mode would be in it too.
            writer.execute("PRAGMA journal_mode = DELETE")
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _copies(path: Path) -> list[Path]:
    """The copies that migrations kept, oldest first."""
    found = path.parent.glob(f"{path.name}.before-*")
    return sorted(found, key=lambda item: int(f"0{item.name.rpartition('-')[2]}"))


def open_database(settings: Settings) -> Database:
    """Open, and create or migrate where needed. Raises DatabaseFailed or DatabaseTooNew."""
    return Database(settings)


@cache
def migrations() -> list[str]:
    """The texts of the numbered migrations, in order."""
    return [path.read_text() for path in sorted(MIGRATIONS.glob("*.sql"))]


def _statements(script: str) -> Iterator[str]:
    """executescript() would commit the transaction around it, so the statements are run one by one."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _make_private_dirs(settings: Settings) -> None:
    if settings.database_path.exists():
        return
    # sshd and HAProxy's error files are the only outsiders; they need nothing in here.
    settings.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in (settings.run_dir, settings.repositories_dir, settings.operations_dir, settings.locks_dir):
        path.mkdir(exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(settings.database_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
