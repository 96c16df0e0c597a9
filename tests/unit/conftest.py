"""Fixtures for tests without Docker: an installation below a temporary folder, and commands run in this process."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from support.in_process import Commands

from paas.console import Console
from paas.deploy.session import Session
from paas.model.caller import Caller
from paas.model.names import AppName
from paas.settings import Settings
from paas.store.apps import App, Apps
from paas.store.database import Database, open_database

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile(
    "paas", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("paas")


def environment(folder: Path) -> dict[str, str]:
    """An installation below `folder`, and no engine: the machine's own may be anything, a socket that nobody answers too."""
    return {"PAAS_ROOT": str(folder / "root"), "DOCKER_HOST": f"unix://{folder}/no-engine.sock"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(environment(tmp_path))


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    with contextlib.closing(open_database(settings)) as opened:
        yield opened


@pytest.fixture
def apps(database: Database) -> Apps:
    return Apps(database)


@pytest.fixture
def session(settings: Settings) -> Iterator[Session]:
    """A session whose output can be read with `session.console.out.getvalue()`."""
    opened = Session(settings, Caller("admin", "host"), Console(io.StringIO(), io.StringIO()))
    yield opened
    opened.database.close()


@pytest.fixture
def app(session: Session) -> App:
    return session.apps.create(AppName("a"))


@pytest.fixture
def paas_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Commands:
    """`paas_command("apps:create", "web1")`: the command's exit code and output."""
    for name in [name for name in os.environ if name.startswith("PAAS_")]:
        monkeypatch.delenv(name)
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    return Commands(monkeypatch, capfd)
