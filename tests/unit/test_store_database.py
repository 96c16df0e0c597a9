"""paas.db: made, brought up to date, refused."""

from __future__ import annotations

import contextlib
import sqlite3
import stat

import pytest

from paas.settings import Settings
from paas.store import database as module
from paas.store.database import Database, DatabaseFailed, DatabaseTooNew, migrations, open_database


def test_a_fresh_database_is_private_and_up_to_date(settings: Settings) -> None:
    with contextlib.closing(open_database(settings)) as database:
        version = database.rows("PRAGMA user_version")[0][0]
        assert version == len(migrations()) >= 1
        assert database.rows("SELECT * FROM apps") == []
    assert stat.S_IMODE(settings.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(settings.database_path.stat().st_mode) == 0o600


def test_opening_again_keeps_what_is_there(settings: Settings) -> None:
    for expected in ([], ["a"]):
        with contextlib.closing(open_database(settings)) as database:
            assert [row["value"] for row in database.rows("SELECT value FROM properties")] == expected
            database.execute("INSERT OR IGNORE INTO properties VALUES (0, 'n', 'k', 'a')")


def test_an_older_database_gets_only_the_migrations_that_it_lacks(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(open_database(settings)) as database:
        database.execute("INSERT INTO properties VALUES (0, 'n', 'k', 'kept')")
    newer = [*migrations(), "CREATE TABLE later (a TEXT);\nINSERT INTO later VALUES ('x;y');\n"]
    monkeypatch.setattr(module, "migrations", lambda: newer)
    for _ in range(2):
        with contextlib.closing(open_database(settings)) as database:
            assert [row["a"] for row in database.rows("SELECT a FROM later")] == ["x;y"]
            assert database.rows("SELECT value FROM properties")[0]["value"] == "kept"


def test_a_failing_migration_changes_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    open_database(settings).close()
    broken = [*migrations(), "CREATE TABLE half (a TEXT);\nINSERT INTO nowhere VALUES (1);\n"]
    with monkeypatch.context() as patch:
        patch.setattr(module, "migrations", lambda: broken)
        with pytest.raises(DatabaseFailed, match="nowhere"):
            open_database(settings)
    with contextlib.closing(open_database(settings)) as database:
        assert database.rows("SELECT 1 FROM sqlite_master WHERE name = 'half'") == []


def test_a_database_of_a_newer_version_is_left_alone(settings: Settings) -> None:
    with contextlib.closing(open_database(settings)) as database:
        database.execute(f"PRAGMA user_version = {len(migrations()) + 1}")
    before = settings.database_path.read_bytes()
    with pytest.raises(DatabaseTooNew, match="newer paas") as caught:
        open_database(settings)
    assert caught.value.exit_code == 1
    assert settings.database_path.read_bytes() == before


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"\0" * 4096])
def test_a_file_that_is_no_database(settings: Settings, content: bytes) -> None:
    settings.root.mkdir()
    settings.database_path.write_bytes(content)
    with pytest.raises(DatabaseFailed) as caught:
        open_database(settings)
    assert len(caught.value.lines) == 1
    assert settings.database_path.read_bytes() == content


def test_a_root_that_can_not_be_made(settings: Settings) -> None:
    settings.root.write_text("a file")
    with pytest.raises(DatabaseFailed, match="root"):
        open_database(settings)


def test_a_transaction_happens_whole_or_not_at_all(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction():
        database.execute("INSERT INTO properties VALUES (0, 'n', 'k', 'v')")
        with database.transaction():
            database.execute("INSERT INTO properties VALUES (0, 'n', 'l', 'v')")
        raise RuntimeError
    assert database.rows("SELECT * FROM properties") == []
    with database.transaction():
        database.execute("INSERT INTO properties VALUES (0, 'n', 'k', 'v')")
    assert len(database.rows("SELECT * FROM properties")) == 1


def test_another_connection_sees_only_what_is_committed(settings: Settings, database: Database) -> None:
    with contextlib.closing(open_database(settings)) as other:
        with database.transaction():
            database.execute("INSERT INTO properties VALUES (0, 'n', 'k', 'v')")
            assert other.rows("SELECT * FROM properties") == []
        assert len(other.rows("SELECT * FROM properties")) == 1


def test_a_full_disk_is_told_and_undone(database: Database) -> None:
    pages = database.rows("PRAGMA page_count")[0][0]
    database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DatabaseFailed, match="full") as caught, database.transaction():
        database.execute("INSERT INTO properties VALUES (0, 'n', 'small', 'v')")
        database.execute("INSERT INTO properties VALUES (0, 'n', 'big', ?)", ("x" * 1_000_000,))
    assert len(caught.value.lines) == 1
    assert database.rows("SELECT * FROM properties") == []


def test_a_broken_rule_of_the_tables_stays_distinguishable(database: Database) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        database.execute("INSERT INTO formation VALUES (99, 'web', 1)")


def test_a_copy_of_before_the_migrations_is_kept(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(open_database(settings)) as database:
        database.execute("INSERT INTO properties VALUES (0, 'n', 'k', 'kept')")
    assert list(settings.root.glob("paas.db.before-*")) == []
    old = len(migrations())
    steps = migrations()
    for name in ("one", "two", "three", "four"):
        steps = [*steps, f"CREATE TABLE {name} (a TEXT);\nDELETE FROM properties;\n"]
        with monkeypatch.context() as patch:
            patch.setattr(module, "migrations", lambda steps=steps: steps)
            open_database(settings).close()
    kept = {path.name for path in settings.root.glob("paas.db.before-*")}
    assert kept == {f"paas.db.before-{old + number}" for number in (2, 3, 4)}
    copy = settings.root / f"paas.db.before-{old + 2}"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with contextlib.closing(sqlite3.connect(copy)) as before:
        assert before.execute("PRAGMA user_version").fetchone() == (old + 1,)
        assert before.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert [path.name for path in settings.root.glob(".paas.db*")] == []


def test_the_copy_is_whole_where_the_migration_failed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(open_database(settings)) as database:
        database.execute("INSERT INTO properties VALUES (0, 'n', 'k', 'kept')")
    broken = [*migrations(), "DELETE FROM properties;\nINSERT INTO nowhere VALUES (1);\n"]
    monkeypatch.setattr(module, "migrations", lambda: broken)
    with pytest.raises(DatabaseFailed):
        open_database(settings)
    with contextlib.closing(sqlite3.connect(settings.root / f"paas.db.before-{len(broken)}")) as copy:
        assert copy.execute("SELECT value FROM properties").fetchall() == [("kept",)]
