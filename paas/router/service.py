"""HAProxy as one of `paas serve`'s services."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from paas.errors import PaasError
from paas.router.haproxy import HAProxy
from paas.router.ports import refusal
from paas.router.routes import Routes
from paas.settings import Listen, Settings

READY_SECONDS = 15.0
POLL_SECONDS = 0.02


class PortTaken(PaasError):
    """The router can't listen on {listen} ({reason}). Nothing was started. Stop what holds the port, or set {variable} to another one"""


def check_port(listen: Listen, variable: str) -> None:
    """Raises PortTaken where the address can't be bound, so that it is said before anything starts."""
    reason = refusal(listen)
    if reason is not None:
        raise PortTaken(listen=listen, reason=reason, variable=variable)


def run(settings: Settings, routes: Routes, on_ready: Callable[[], None]) -> None:
    """Write the files, become HAProxy, and say `on_ready` once it answers. Does not return."""
    router = HAProxy(settings)
    router.write(routes)
    if os.fork() == 0:
        # A grandchild waits: HAProxy's master would have to collect a child.
        if os.fork() == 0:
            _say_when_running(router, on_ready)
        os._exit(0)
    os.wait()
    command = router.command()
    os.execv(command[0], command)  # noqa: S606 - our own argument list


def _say_when_running(router: HAProxy, on_ready: Callable[[], None]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if router.is_running():
            on_ready()
            break
        time.sleep(POLL_SECONDS)
    os._exit(0)
