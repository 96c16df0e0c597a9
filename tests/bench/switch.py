"""What the router costs a deploy: one app's requests go to another process, with many apps and with one."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from support.drains import draining
from support.server import free_port

from bench import neighbours
from bench.measure import Goal, Row, Samples, Scenario
from bench.site import Site
from paas.deploy.session import Session
from paas.deploy.switch import switch
from paas.router import HAProxy, Routes
from paas.settings import Settings
from paas.store.apps import App

APPS = neighbours.APPS
TIMES = 10  # in a round
START_SECONDS = 10


class Town:
    """An HAProxy of its own, with apps that are rows and lead nowhere."""

    def __init__(self, site: Site, directory: Path, apps: int) -> None:
        self.settings = Settings.from_environment(
            {
                "PAAS_ROOT": str(directory),
                "PAAS_HTTP_LISTEN": f"127.0.0.1:{free_port()}",
                "PAAS_HTTPS_LISTEN": f"127.0.0.1:{free_port()}",
            }
        )
        router = HAProxy(self.settings)
        router.write(Routes())
        with (directory / "haproxy.log").open("wb") as log:
            process = subprocess.Popen(router.command(), stdout=log, stderr=log)
        site.kept.callback(_end, process)
        deadline = time.monotonic() + START_SECONDS
        while not router.is_running():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"HAProxy does not start:\n{(directory / 'haproxy.log').read_text()}")
            time.sleep(0.02)
        self.number = 1
        with contextlib.closing(neighbours.session(self.settings)) as session:
            neighbours.move_in(session, apps)

    def switches(self) -> float:
        """Seconds of one switch, the median of some: what the database says, HAProxy, the files, the commit."""
        return statistics.median(self._timed(self._switch) for _ in range(TIMES))

    def reroutes(self) -> float:
        """The same of looking at all apps, as a changed domain does."""
        return statistics.median(self._timed(lambda session, _app: session.reroute()) for _ in range(TIMES))

    def _switch(self, session: Session, app: App) -> None:
        self.number += 1
        new = [neighbours.process(app, self.number)]
        with session.routing():
            switch(session, app, new, lambda: session.releases.set_processes(app, new, []))

    def _timed(self, do: Callable[[Session, App], None]) -> float:
        session = neighbours.session(self.settings)
        with contextlib.closing(session.database):
            app = session.apps.get("app-0")
            session.router.is_running()
            started = time.perf_counter()
            do(session, app)
            taken = time.perf_counter() - started
            for slot, server in draining(self.settings):
                session.router.remove(slot, server)
        return taken


class Switch(Scenario):
    """Router time of a change, in one process, without containers."""

    rows = (
        Row("switch", f"one app's switch among {APPS}", "with 1 app", Goal(10_000, absolute=True), "us"),
        Row("reroute", f"comparing all {APPS} apps with HAProxy", "with 1 app", unit="us"),
    )

    @cached_property
    def towns(self) -> dict[int, Town]:
        found = {}
        for apps in (1, APPS):
            directory = self.site.base / f"town-{apps}"
            directory.mkdir()
            found[apps] = Town(self.site, directory, apps)
        return found

    def ours(self) -> Samples:
        return {"switch": self.towns[APPS].switches(), "reroute": self.towns[APPS].reroutes()}

    def floor(self) -> Samples:
        return {"switch": self.towns[1].switches(), "reroute": self.towns[1].reroutes()}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()
