"""The router with HAProxy: keeps its files and its running state what they should be.

Everyone who changes the routes calls `apply` with all of them. It writes the files, compares them with what HAProxy
says it is, and sends the difference over the runtime API.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

from paas.router import binary
from paas.router.configuration import (
    CONFIG_FILE,
    REQUESTS_RING,
    Identity,
    certificate_file,
    identity,
    render,
    render_certificates,
    render_map,
    stock,
    stock_for,
)
from paas.router.difference import Observed, difference, identify, observe
from paas.router.files import replace
from paas.router.ports import refusal
from paas.router.requests import Request, Traffic, read_requests, read_traffic
from paas.router.routes import Route, Routes
from paas.router.rules import CERTIFICATE_LIST, CERTIFICATES, MAP_FILE, PAGES, VERIFIED_FILE, page
from paas.router.runtime import RouterFailed, RouterNotRunning, Runtime
from paas.router.switch import exchange_servers, mark, marked, set_mark
from paas.router.workers import Workers
from paas.settings import Listen, Settings
from paas.store.locks import held

LOCK = "router.lock"
REMOVE_SECONDS = 3.0  # until a server whose sessions were shut down must be free of them
POLL_SECONDS = 0.05
DEFAULT_HTTP_PORT = 80
FRONTEND_TYPE, BACKEND_TYPE, SERVER_TYPE = 1, 2, 4  # in `show stat`
PORT_FRONTEND = re.compile(r"(?:http|tcp)(\d+)")
ALSO = re.compile(r'value="([^"]+)"')
GONE = ("No such server", "No such backend", "Can't find")


@dataclass(frozen=True)
class Change:
    """What `apply` did: `commands` sent to HAProxy; `running` False when nobody was there to take them.

    `blocked` are the apps' ports that something else on this machine holds: they are left out until it lets go.
    """

    running: bool = True
    reloaded: bool = False
    commands: tuple[str, ...] = ()
    blocked: tuple[int, ...] = ()


class HAProxy:
    """One installation's HAProxy. Methods raise RouterFailed with its words, and OSError for our own files."""

    publishes_ports = False
    missing: str | None = None

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._machine = binary.machine(settings)
        self._workers = Workers(settings)
        # In the place of a version, for what is not in the database yet: nobody else's.
        self._unsettled = f"unsettled-{secrets.token_hex(8)}"

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
            return self._write(routes.without(self._blocked(routes)))

    def apply(self, routes: Routes, version: int | None = None) -> Change:
        """Make the files and the running HAProxy what `routes` says. Does nothing when they are.

        Servers that are no longer wanted take no new requests afterwards; `remove` deletes them. `version` is
        the database's for these routes; with it, `switch` can rely on all this later.
        """
        with held(self._settings.locks_dir / LOCK):
            blocked = self._blocked(routes)
            routes = routes.without(blocked)
            self._write(routes)
            try:
                return dataclasses.replace(self._bring_in_step(routes, version), blocked=blocked)
            except RouterNotRunning:
                return Change(running=False, blocked=blocked)

    def switch(self, route: Route, version: int) -> Change | None:
        """Give one app other servers. None, with nothing changed, unless this HAProxy is in step with `version` of the
        database in all else; then `apply` has to do it.

        What it costs does not grow with the number of apps. Once the new version is there: `settle`.
        """
        with held(self._settings.locks_dir / LOCK):
            try:
                with self._workers.current() as runtime:
                    if marked(runtime) != self._mark(version):
                        return None
                    commands = exchange_servers(runtime, self._settings.router_dir, route)
                    if commands is None:
                        return None
                    set_mark(runtime, self._mark(self._unsettled))
            except (RouterNotRunning, FileNotFoundError):
                return None
            return Change(commands=commands)

    def settle(self, version: int) -> None:
        """What this `switch`, or `apply` without a version, did last is the database's `version` now. Does nothing
        where somebody else has changed HAProxy or its files since."""
        with (
            held(self._settings.locks_dir / LOCK),
            contextlib.suppress(RouterNotRunning, FileNotFoundError),
            self._workers.current() as runtime,
        ):
            if marked(runtime) == self._mark(self._unsettled):
                set_mark(runtime, self._mark(version))

    def out_of_step(self, routes: Routes) -> int:
        """How many commands HAProxy would need to do what `routes` says; 0 when it does. Raises RouterNotRunning."""
        with held(self._settings.locks_dir / LOCK):
            routes = routes.without(self._blocked(routes))
            with self._workers.current() as runtime:
                observed = observe(runtime.ask)
            if not _fits(observed.identity, self._identity(routes), routes):
                return 1
            return len(difference(routes, observed))

    def low(self, highest_slot: int) -> bool:
        """Whether few backends are left beyond the highest slot in use, so that a quiet moment is a good one for
        `reload`."""
        try:
            with self._workers.current() as runtime:
                found, _ = identify(runtime.ask)
        except RouterNotRunning:
            return False
        return bool(found.stock) and found.stock < stock(highest_slot)

    def reload(self, routes: Routes, version: int | None = None) -> Change:
        """Load the file in a new worker without closing anybody's connection, then bring all in step."""
        with held(self._settings.locks_dir / LOCK):
            blocked = self._blocked(routes)
            routes = routes.without(blocked)
            self._write(routes)
            self._workers.reload(self._identity(routes))
            return dataclasses.replace(self._bring_in_step(routes, version), blocked=blocked)

    def refusal(self, port: int) -> str | None:
        """Why the router could not listen on a port of the host, None when it could or does."""
        if port in self._listening():
            return None
        return refusal(Listen(self._settings.http_listen.host, port))

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

    def requests(self, slot: int) -> list[Request]:
        """The newest requests of one app, oldest first; none where HAProxy does not run."""
        try:
            with self._workers.current() as runtime:
                return _requests(runtime, slot)
        except RouterNotRunning:
            return []

    def follow_requests(self, slot: int) -> Iterator[Request]:
        """The app's requests from now on, as they are answered; for ever. A reload is followed into the new worker."""
        while True:
            for line in self._workers.follow(f"show events {REQUESTS_RING} -w -n"):
                found = Request.parse(line)
                if found is not None and found.slot == slot:
                    yield found

    def starts(self) -> Iterator[None]:
        """Says when a worker of HAProxy takes over, as the first one now and whenever another one does; for ever."""
        return self._workers.starts()

    def traffic(self, slot: int | None = None) -> dict[int, Traffic]:
        """By slot, of one app or of every app that has one; empty where HAProxy does not run."""
        try:
            with self._workers.current() as runtime:
                if slot is not None:
                    rows = [
                        runtime.ask(f"show stat {name} {BACKEND_TYPE} -1")
                        for name in _backends(runtime, slot)
                    ]
                    header = rows[0].partition("\n")[0]
                    lines = [line for text in rows for line in text.splitlines()[1:]]
                    return read_traffic("\n".join([header, *lines]), _requests(runtime, slot))
                stat = runtime.ask(f"show stat -1 {BACKEND_TYPE} -1")
                newest = read_requests(runtime.ask(f"show events {REQUESTS_RING}"))
        except RouterNotRunning:
            return {}
        return read_traffic(stat, newest)

    def _blocked(self, routes: Routes) -> tuple[int, ...]:
        """Ports that would keep HAProxy from loading the file at all, now or when the machine starts."""
        wanted = {item.number for item in routes.listeners}
        if not wanted:
            return ()
        host = self._settings.http_listen.host
        return tuple(sorted(n for n in wanted - self._listening() if refusal(Listen(host, n)) is not None))

    def _listening(self) -> set[int]:
        """The apps' ports that the running HAProxy has."""
        try:
            with self._workers.current() as runtime:
                rows = runtime.ask(f"show stat -1 {FRONTEND_TYPE} -1").splitlines()
        except RouterNotRunning:
            return set()
        names = (row.partition(",")[0] for row in rows)
        return {int(match[1]) for name in names if (match := PORT_FRONTEND.fullmatch(name))}

    def _mark(self, version: int | str) -> str:
        # The shape without anybody's ports: that of this program and its settings.
        return mark(self._settings.router_dir, identity(self._settings, 0, self._machine).shape, version)

    def _identity(self, routes: Routes) -> Identity:
        return identity(self._settings, stock_for(routes), self._machine, routes)

    def _write(self, routes: Routes) -> bool:
        directory = self._settings.router_dir
        self._settings.run_dir.mkdir(parents=True, exist_ok=True)
        changed = [replace(directory / name, page(name)) for name in PAGES]
        changed.append(replace(directory / MAP_FILE, render_map(routes)))
        changed.append(replace(directory / VERIFIED_FILE, ""))
        changed.append(self._write_certificates(routes))
        # Last: whenever HAProxy starts with it, all that it names is there.
        text = render(self._settings, routes, stock_for(routes), self._machine)
        changed.append(replace(directory / CONFIG_FILE, text))
        return any(changed)

    def _write_certificates(self, routes: Routes) -> bool:
        """A new certificate has a new name, so files are only added and removed. The list is written between the two:
        whenever HAProxy starts, all that the list names is there."""
        directory = self._settings.router_dir
        missing = [name for name in routes.certificates if not (directory / certificate_file(name)).exists()]
        for name in missing:
            replace(directory / certificate_file(name), routes.certificates[name].load(), 0o600)
        changed = replace(directory / CERTIFICATE_LIST, render_certificates(routes))
        for path in (directory / CERTIFICATES).glob("*.pem"):
            if path.stem not in routes.certificates:
                path.unlink(missing_ok=True)
        return changed or bool(missing)

    def _bring_in_step(self, routes: Routes, version: int | None) -> Change:
        wanted = self._identity(routes)
        new = self._mark(self._unsettled if version is None else version)
        with self._workers.current() as runtime:
            observed = observe(runtime.ask)
            reload = not _fits(observed.identity, wanted, routes)
            commands = () if reload else _send(runtime, routes, observed, new)
        if reload:
            self._workers.reload(wanted)
            with self._workers.current() as runtime:
                commands = _send(runtime, routes, observe(runtime.ask), new)
        return Change(reloaded=reload, commands=commands)


def _fits(found: Identity, wanted: Identity, routes: Routes) -> bool:
    return found.shape == wanted.shape and found.stock >= routes.highest_slot


def _send(runtime: Runtime, routes: Routes, observed: Observed, new_mark: str) -> tuple[str, ...]:
    if not observed.identity.stock:
        return ()
    commands = tuple(difference(routes, observed))
    if commands:
        set_mark(runtime, "")
    for command in commands:
        runtime.tell(command)
    if commands or observed.mark != new_mark:
        set_mark(runtime, new_mark)
    return commands


def _requests(runtime: Runtime, slot: int) -> list[Request]:
    # Only the app's own lines are read: the rest is a few other apps' thousands.
    marks = (f" slot{slot} ", f" slot{slot}.")
    lines = runtime.ask(f"show events {REQUESTS_RING}").splitlines()
    return read_requests("\n".join(line for line in lines if any(mark in line for mark in marks)))


def _backends(runtime: Runtime, slot: int) -> list[str]:
    """An app's backend, and those of its own ports as far as this worker knows them."""
    answer = runtime.ask(f"get map {MAP_FILE} slot{slot}/also")
    match = ALSO.search(answer)
    return [f"slot{slot}", *(match[1].split(",") if match else ())]


def _sessions(runtime: Runtime, slot: int, name: str) -> int:
    count = 0
    for backend in _backends(runtime, slot):
        answer = runtime.ask(f"show stat {backend} {SERVER_TYPE} -1").removeprefix("# ")
        rows = (row for row in csv.DictReader(answer.splitlines()) if row.get("svname") == name)
        count += sum(int(row["scur"] or 0) + int(row["qcur"] or 0) for row in rows)
    return count


def _remove(runtime: Runtime, slot: int, name: str) -> None:
    for backend in _backends(runtime, slot):
        _remove_from(runtime, f"{backend}/{name}")


def _remove_from(runtime: Runtime, server: str) -> None:
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
    place = re.compile(rf" be=slot{slot}(\.\d+)? srv={re.escape(name)} ")
    for line in runtime.ask("show sess").splitlines():
        reference, _, rest = line.partition(":")
        if place.search(rest):
            runtime.ask(f"shutdown session {reference}")
