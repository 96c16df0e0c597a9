"""The router with HAProxy: keeps its files and its running state what they should be.

Everyone who changes the routes calls `apply` with all of them. It writes the files, compares them with what HAProxy
says it is, and sends the difference over the runtime API.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable
from dataclasses import dataclass

from paas.router import binary
from paas.router.configuration import (
    CONFIG_FILE,
    MAP_FILE,
    PAGES,
    Identity,
    identity,
    page,
    render,
    render_map,
    stock_for,
)
from paas.router.difference import Observed, difference, observe
from paas.router.files import replace
from paas.router.routes import Routes
from paas.router.runtime import RouterFailed, RouterNotRunning, Runtime
from paas.router.workers import Workers
from paas.settings import Settings
from paas.store.locks import held

LOCK = "router.lock"
REMOVE_SECONDS = 3.0  # until a server whose sessions were shut down must be free of them
POLL_SECONDS = 0.05
DEFAULT_HTTP_PORT = 80
SERVER_TYPE = 4  # in `show stat`
GONE = ("No such server", "No such backend", "Can't find")


@dataclass(frozen=True)
class Change:
    """What `apply` did: `commands` sent to HAProxy; `running` False when nobody was there to take them.

    `reload_due` says that few backends are left and that a quiet moment is a good one for `reload`.
    """

    running: bool = True
    reloaded: bool = False
    commands: tuple[str, ...] = ()
    reload_due: bool = False


class HAProxy:
    """One installation's HAProxy. Methods raise RouterFailed with its words, and OSError for our own files."""

    publishes_ports = False
    missing: str | None = None

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._machine = binary.machine(settings)
        self._workers = Workers(settings)

    def command(self, *, notify: bool = False) -> list[str]:
        """The argument list that runs HAProxy in the foreground, see `binary.command`."""
        return binary.command(self._settings, notify=notify)

    def url(self, domain: str, published_port: int | None = None) -> str:
        """Where a browser finds the domain; the published port plays no part."""
        port = self._settings.http_listen.port
        return f"http://{domain}" + ("" if port == DEFAULT_HTTP_PORT else f":{port}")

    def is_running(self) -> bool:
        """Whether an HAProxy answers on our socket."""
        try:
            self._workers.current().close()
        except RouterNotRunning:
            return False
        return True

    def write(self, routes: Routes) -> bool:
        """Bring the files in step, before HAProxy is started; True when one changed."""
        with held(self._settings.locks_dir / LOCK):
            return self._write(routes)

    def apply(self, routes: Routes) -> Change:
        """Make the files and the running HAProxy what `routes` says. Does nothing when they are.

        Servers that are no longer wanted take no new requests afterwards; `finish_drains` deletes them.
        """
        with held(self._settings.locks_dir / LOCK):
            self._write(routes)
            try:
                return self._bring_in_step(routes)
            except RouterNotRunning:
                return Change(running=False)

    def reload(self, routes: Routes) -> Change:
        """Load the file in a new worker without closing anybody's connection, then bring all in step."""
        with held(self._settings.locks_dir / LOCK):
            self._write(routes)
            self._workers.reload(self._identity(routes))
            return self._bring_in_step(routes)

    def drained(self, slot: int, server_name: str) -> bool:
        """Whether no request and no connection is on the server, in this worker or an old one."""
        return not any(self._workers.each(lambda runtime: _sessions(runtime, slot, server_name)))

    def remove(self, slot: int, server_name: str) -> None:
        """Delete a server, and close what is still connected to it. One that is gone already is fine."""
        with held(self._settings.locks_dir / LOCK):
            self._workers.each(
                lambda runtime: _remove(runtime, slot, server_name),
                lambda runtime: _cut(runtime, slot, server_name),
            )

    def finish_drains(
        self, servers: Iterable[tuple[int, str]], seconds: float
    ) -> tuple[tuple[int, str], ...]:
        """Wait up to `seconds` for the sessions of drained (slot, server name)s to end, then remove them all.

        Afterwards their containers can be stopped. Returns those whose connections had to be cut.
        """
        everyone = tuple(servers)
        deadline = time.monotonic() + seconds
        # A request may have been given to a server in the instant before it was drained and not be counted yet.
        time.sleep(POLL_SECONDS)
        while waiting := tuple(key for key in everyone if not self.drained(*key)):
            if time.monotonic() >= deadline:
                break
            time.sleep(POLL_SECONDS)
        for key in everyone:
            self.remove(*key)
        return waiting

    def draining(self) -> tuple[tuple[int, str], ...]:
        """Servers that take no requests and are not removed yet; a killed rollout leaves such."""
        try:
            with self._workers.current() as runtime:
                servers = observe(runtime.ask).servers
        except RouterNotRunning:
            return ()
        return tuple(key for key, server in servers.items() if not server.serving)

    def _identity(self, routes: Routes) -> Identity:
        return identity(self._settings, stock_for(routes), self._machine)

    def _write(self, routes: Routes) -> bool:
        directory = self._settings.router_dir
        self._settings.run_dir.mkdir(parents=True, exist_ok=True)
        changed = [replace(directory / name, page(name)) for name in PAGES]
        text = render(self._settings, routes, stock_for(routes), self._machine)
        changed.append(replace(directory / CONFIG_FILE, text))
        changed.append(replace(directory / MAP_FILE, render_map(routes)))
        return any(changed)

    def _bring_in_step(self, routes: Routes) -> Change:
        wanted = self._identity(routes)
        with self._workers.current() as runtime:
            observed = observe(runtime.ask)
            reload = not _fits(observed.identity, wanted, routes)
            commands = () if reload else _send(runtime, routes, observed)
        if reload:
            self._workers.reload(wanted)
            with self._workers.current() as runtime:
                commands = _send(runtime, routes, observe(runtime.ask))
        return Change(
            reloaded=reload,
            commands=commands,
            reload_due=not reload and observed.identity.stock < wanted.stock,
        )


def _fits(found: Identity, wanted: Identity, routes: Routes) -> bool:
    return found.shape == wanted.shape and found.stock >= routes.highest_slot


def _send(runtime: Runtime, routes: Routes, observed: Observed) -> tuple[str, ...]:
    commands = tuple(difference(routes, observed)) if observed.identity.stock else ()
    for command in commands:
        runtime.tell(command)
    return commands


def _sessions(runtime: Runtime, slot: int, name: str) -> int:
    answer = runtime.ask(f"show stat slot{slot} {SERVER_TYPE} -1").removeprefix("# ")
    rows = (row for row in csv.DictReader(answer.splitlines()) if row.get("svname") == name)
    return sum(int(row["scur"] or 0) + int(row["qcur"] or 0) for row in rows)


def _remove(runtime: Runtime, slot: int, name: str) -> None:
    server = f"slot{slot}/{name}"
    deadline = time.monotonic() + REMOVE_SECONDS
    answer = runtime.ask(f"set server {server} state maint")
    while not answer.startswith(GONE):
        runtime.tell(f"shutdown sessions server {server}")
        answer = runtime.ask(f"del server {server}").strip()
        if answer.startswith("Server deleted"):
            return
        if time.monotonic() >= deadline:
            raise RouterFailed(command=f"del server {server}", reason=answer)
        time.sleep(POLL_SECONDS)


def _cut(runtime: Runtime, slot: int, name: str) -> None:
    # An old worker's servers can't be changed or deleted, only its sessions ended, one by one.
    for line in runtime.ask("show sess").splitlines():
        reference, _, rest = line.partition(":")
        if f" be=slot{slot} srv={name} " in rest:
            runtime.ask(f"shutdown session {reference}")
