"""Apps that are rows and lead nowhere: what a machine with many apps has to look at, without their containers."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping

from paas.console import Console
from paas.deploy.session import Session
from paas.model.caller import Caller
from paas.model.names import AppName
from paas.model.release import WEB, Process
from paas.settings import Settings
from paas.store.apps import App

APPS = 500


def session(settings: Settings) -> Session:
    """As a command has it: nothing is left over from the one before."""
    return Session(settings, Caller("bench", "host"), Console(out=io.StringIO(), err=io.StringIO()))


def process(app: App, number: int = 1) -> Process:
    """A process of an app whose container is not there. With another `number` it is another one."""
    name = f"{number}-{app.id}".ljust(64, "-")
    return Process(name, app.id, number, WEB, 1, "127.0.0.1", 1024 + number)


def move_in(opened: Session, count: int) -> None:
    """Register `count` apps, app-0 and so on, each with a process, and route to them."""
    with opened.database.transaction():
        for number in range(count):
            app = opened.apps.create(AppName(f"app-{number}"))
            opened.releases.set_processes(app, [process(app)], [])
    opened.reroute()


def join(env: Mapping[str, str], count: int = APPS) -> None:
    """The same in an installation that runs, by its environment."""
    opened = session(Settings.from_environment(dict(env)))
    with contextlib.closing(opened):
        move_in(opened, count)
