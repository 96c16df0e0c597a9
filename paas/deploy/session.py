"""One command's view of the installation: what it is connected to, opened when first needed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING

from paas.console import Console
from paas.deploy.routing import routes
from paas.model.access import EVERYTHING
from paas.model.caller import Caller
from paas.model.release import Process
from paas.router import Router, choose
from paas.router.requests import Traffic
from paas.router.routes import Routes
from paas.settings import Settings
from paas.store import routing
from paas.store.apps import App, Apps
from paas.store.attempts import Attempts
from paas.store.certificates import Certificates
from paas.store.config import Config
from paas.store.database import Database, open_database
from paas.store.domains import Domains
from paas.store.locks import held
from paas.store.operations import Operations
from paas.store.properties import Properties
from paas.store.releases import Releases
from paas.store.repositories import Repository

if TYPE_CHECKING:
    from docker import APIClient

    from paas.engine.containers import Containers
    from paas.engine.images import Images


NO_WAIT = "no-wait"
ROUTING_LOCK = "routing.lock"


class Session:
    """Settings, caller and console of a command, and its database, engine and router."""

    def __init__(self, settings: Settings, caller: Caller, console: Console) -> None:
        self.settings = settings
        self.caller = caller
        self.console = console
        # Whether an operation takes its turn behind another one of the app (--no-wait: it is refused).
        self.waits = NO_WAIT not in caller.push_options
        # Which apps the caller may touch; the gate before the command says it.
        self.reach = EVERYTHING
        self._traffic: dict[int, Traffic] | None = None

    @cached_property
    def database(self) -> Database:
        return open_database(self.settings)

    @cached_property
    def apps(self) -> Apps:
        return Apps(self.database)

    @cached_property
    def domains(self) -> Domains:
        return Domains(self.database)

    @cached_property
    def releases(self) -> Releases:
        return Releases(self.database)

    @cached_property
    def operations(self) -> Operations:
        return Operations(self.database)

    @cached_property
    def properties(self) -> Properties:
        return Properties(self.database)

    @cached_property
    def api(self) -> APIClient:
        from paas.engine.client import connect

        return connect(self.settings.docker_host, self.settings.engine_seconds)

    @cached_property
    def images(self) -> Images:
        from paas.engine.images import Images

        return Images(self.api)

    @cached_property
    def containers(self) -> Containers:
        from paas.engine.containers import Containers

        return Containers(self.api)

    @cached_property
    def router(self) -> Router:
        return choose(self.settings)

    def close(self) -> None:
        """The same as `disconnect`, for whoever does not go on."""
        self.disconnect()

    def disconnect(self) -> None:
        """Close the connections to database and engine. They are made again when they are needed."""
        for name, value in list(vars(self).items()):
            if isinstance(getattr(type(self), name, None), cached_property):
                if name in ("database", "api"):
                    value.close()
                del self.__dict__[name]

    def traffic(self, app: App) -> Traffic | None:
        """What the router counted of an app until now. The first one is asked for alone, then all at once."""
        if self._traffic is None:
            self._traffic = self.router.traffic(app.slot)
        elif app.slot not in self._traffic:
            self._traffic = self.router.traffic()
        return self._traffic.get(app.slot)

    @property
    def certificates(self) -> Certificates:
        return Certificates(self.database)

    @property
    def attempts(self) -> Attempts:
        return Attempts(self.database)

    @property
    def network(self) -> str:
        """The apps' network on the engine."""
        return f"paas-{self.settings.root_id}"

    def image_tag(self, app: App, number: int | str) -> str:
        """The name on the engine that keeps the image of the app's release `number`."""
        return f"paas-{self.settings.root_id}/{app.name}:{number}"

    def config(self, app: App) -> Config:
        return Config(self.database, app.id)

    def repository(self, app: App) -> Repository:
        return Repository(self.settings, app.name)

    def routes(self, changed: App | None = None, processes: list[Process] | None = None) -> Routes:
        """What the router should do according to the database; for the app `changed`, with `processes` instead
        of those that are recorded."""
        return routes.routes(self, changed, processes)

    def routing(self) -> AbstractContextManager[None]:
        """Hold what decides about the router, from looking at the database to telling HAProxy: in between nobody
        else must tell it something older. Not to be held twice."""
        return held(self.settings.locks_dir / ROUTING_LOCK)

    def apply(self, wanted: Routes, version: int | None = None) -> None:
        """Tell the router, inside of `routing()`, and say which ports it could not have. `version` is the one of the
        database that `wanted` was computed from, None for what is not in there yet."""
        for port in self.router.apply(wanted, version).blocked:
            self.console.warn(
                f"Host port {port} is held by another program; the router leaves it out until then"
            )

    def reroute(self) -> None:
        """Bring the router in step with the database."""
        with self.routing():
            # Read first: what changes meanwhile has another one.
            version = routing.version(self.database)
            self.apply(self.routes(), version)
