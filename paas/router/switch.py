"""What changes when one app's processes do, and nothing else.

A mark in HAProxy's memory vouches for the rest: it names the state of the database and the files that this worker was
brought in step with. Who changes anything takes it away first, and a worker that was started since has none, so a mark
that fits is true.
"""

from __future__ import annotations

import re
from pathlib import Path

from paas.router.configuration import CONFIG_FILE, with_servers
from paas.router.difference import MARK, Running, exchange, read_servers
from paas.router.files import replace
from paas.router.routes import Route, Server
from paas.router.rules import CERTIFICATE_LIST, MAP_FILE
from paas.router.runtime import Runtime

VALUE = re.compile(r'value="([^"]+)"')
FOUND_SERVERS = "1\n"  # how the state of a backend that is there begins


def mark(directory: Path, shape: str, version: int | str) -> str:
    """What stands for: in step with `version` of the database, these files, and this shape. One word."""
    files = (directory / name for name in (CONFIG_FILE, MAP_FILE, CERTIFICATE_LIST))
    stats = [path.stat() for path in files]
    return ":".join([str(version), shape, *(f"{item.st_ino}-{item.st_mtime_ns}" for item in stats)])


def marked(runtime: Runtime) -> str:
    """The mark that a worker carries, empty for none."""
    found = VALUE.search(runtime.ask(f"get map {MAP_FILE} {MARK}"))
    return found[1] if found else ""


def set_mark(runtime: Runtime, text: str) -> None:
    """Put a mark on a worker, or take it off where the text is empty."""
    runtime.ask(f"del map {MAP_FILE} {MARK}")
    if text:
        runtime.tell(f"add map {MAP_FILE} {MARK} {text}")


def exchange_servers(runtime: Runtime, directory: Path, route: Route) -> tuple[str, ...] | None:
    """Give an app the servers of its route, in the file and in HAProxy; the commands that were sent, or None, with
    nothing changed, where a backend of it is missing. Takes the mark off where it changes something."""
    backends = {route.backend: route.servers}
    backends |= {at.backend: port.servers for port, at in zip(route.ports, route.listeners, strict=True)}
    path = directory / CONFIG_FILE
    before = text = path.read_text()
    found: dict[tuple[str, str], Running] = {}
    for backend, servers in backends.items():
        edited = with_servers(text, backend, servers)
        state = runtime.ask(f"show servers state {backend}")
        if edited is None or not state.startswith(FOUND_SERVERS):
            return None
        text = edited
        found |= read_servers(state)
    commands = exchange(_by_name(backends), found)
    if commands or text != before:
        set_mark(runtime, "")
        replace(path, text)
        for command in commands:
            runtime.tell(command)
    return tuple(commands)


def _by_name(backends: dict[str, tuple[Server, ...]]) -> dict[tuple[str, str], Server]:
    return {(name, server.name): server for name, servers in backends.items() for server in servers}
