"""The version of what the router depends on: another one after every change, never an old one again."""

from __future__ import annotations

import sqlite3

import pytest

from paas.deploy.routing.routes import routes
from paas.deploy.session import Session
from paas.model.names import AppName
from paas.model.release import WEB, Process
from paas.store import routing


def test_every_change_makes_another_version(session: Session) -> None:
    seen = {routing.version(session.database)}

    def changed() -> bool:
        now = routing.version(session.database)
        new = now not in seen
        seen.add(now)
        return new

    assert not changed()
    app = session.apps.create(AppName("a"))
    assert changed() and not changed()
    session.domains.add(app.id, "a.org")
    assert changed()
    session.properties.set(app.id, "ports", "map", "[]")
    assert changed()
    session.properties.set(app.id, "ports", "map", "[]")
    assert not changed()
    session.properties.set(app.id, "ports", "map", "")
    assert changed()
    for namespace in ("app", "cron", "git", "registry"):
        session.properties.set(app.id, namespace, "key", "value")
        session.properties.set(app.id, namespace, "key", "other")
        session.properties.set(app.id, namespace, "key", "")
    assert not changed()
    session.releases.set_processes(app, [Process("c", app.id, 1, WEB, 1, "127.0.0.1", 80)], [])
    assert changed()
    session.releases.move_process(Process("c", app.id, 1, WEB, 1, "127.0.0.2", 80))
    assert changed()
    session.config(app).replace({"A": "b"})
    assert not changed()
    session.apps.rename(app, AppName("b"))
    assert changed()
    session.apps.delete(app)
    assert changed()


def test_a_transaction_that_is_undone_leaves_no_version_behind(session: Session) -> None:
    before = routing.version(session.database)
    inside = []
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), session.database.transaction():
            session.apps.create(AppName("a"))
            inside.append(routing.version(session.database))
            raise ZeroDivisionError
        assert routing.version(session.database) == before
    assert len({before, *inside}) == 3


def test_every_table_that_routes_are_made_from_is_watched(session: Session) -> None:
    app = session.apps.create(AppName("a"))
    tables: set[str] = set()

    def look(action: int, first: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_READ and first:
            tables.add(first)
        return sqlite3.SQLITE_OK

    session.database.connection.set_authorizer(look)
    routes(session)
    routes(session, app, [])
    session.database.connection.set_authorizer(None)
    query = "SELECT tbl_name, count(*) FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'routing_%' GROUP BY 1"
    watched = {row[0]: row[1] for row in session.database.rows(query)}
    assert {"apps", "processes", "properties", "domains"} <= tables
    assert {table: watched.get(table) for table in tables} == dict.fromkeys(tables, 3)
