"""Draining to the end in one call: what a change and, later, the agent do between them."""

from __future__ import annotations

import time
from collections.abc import Iterable

from paas.router import Router, RouterNotRunning
from paas.router.configuration import CONTROL_SOCKET
from paas.router.difference import observe, slot_of
from paas.router.runtime import Runtime
from paas.settings import Settings

POLL_SECONDS = 0.05


def finish_drains(router: Router, servers: Iterable[tuple[int, str]], seconds: float) -> tuple[tuple[int, str], ...]:
    """Wait up to `seconds` for the sessions of drained (slot, server name)s to end, then remove them all. Returns those
    whose connections had to be cut."""
    everyone = tuple(servers)
    deadline = time.monotonic() + seconds
    # A request may have been given to a server in the instant before it was drained and not be counted yet.
    time.sleep(POLL_SECONDS)
    while waiting := tuple(key for key in everyone if not router.drained(*key)):
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_SECONDS)
    for key in everyone:
        router.remove(*key)
    return waiting


def draining(settings: Settings) -> tuple[tuple[int, str], ...]:
    """Servers of an HAProxy that take no requests and are not removed yet."""
    try:
        with Runtime(settings.run_dir / CONTROL_SOCKET) as runtime:
            servers = observe(runtime.ask).servers
    except RouterNotRunning:
        return ()
    found = ((slot_of(backend), name) for (backend, name), server in servers.items() if not server.serving)
    return tuple(dict.fromkeys(found))
