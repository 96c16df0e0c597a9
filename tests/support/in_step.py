"""Whether a paas's router does what its database says: the file, and what HAProxy runs."""

from __future__ import annotations

import contextlib
import sys

from paas.console import Console
from paas.deploy.session import Session
from paas.model.caller import Caller
from paas.router import binary
from paas.router.configuration import (
    CONFIG_FILE,
    CONTROL_SOCKET,
    identity,
    render,
    render_certificates,
    render_map,
    stock_for,
)
from paas.router.difference import difference, observe
from paas.router.rules import CERTIFICATE_LIST, MAP_FILE
from paas.router.runtime import Runtime
from paas.settings import Settings
from support.server import Paas


@contextlib.contextmanager
def _session(paas: Paas):  # type: ignore[no-untyped-def]
    settings = Settings.from_environment(paas.env)
    session = Session(settings, Caller("test", "host"), Console(out=sys.stderr, err=sys.stderr, quiet=True))
    try:
        yield session
    finally:
        session.disconnect()


def check_in_step(paas: Paas) -> None:
    """The files rendered from the database are those on disk, and what HAProxy runs is what they say."""
    with _session(paas) as session, session.routing():
        settings, routes = session.settings, session.routes()
        machine, stock = binary.machine(settings), stock_for(routes)
        files = {
            CONFIG_FILE: render(settings, routes, stock, machine),
            MAP_FILE: render_map(routes),
            CERTIFICATE_LIST: render_certificates(routes),
        }
        for name, text in files.items():
            assert (settings.router_dir / name).read_text() == text, f"{name} is not what the database says"
        with Runtime(settings.run_dir / CONTROL_SOCKET) as runtime:
            observed = observe(runtime.ask)
        assert observed.identity.shape == identity(settings, stock, machine, routes).shape
        assert difference(routes, observed) == []
        serving = {
            (backend, name, running.address, running.port)
            for (backend, name), running in observed.servers.items()
            if running.serving
        }
        wanted = {(*key, server.address, server.port) for key, server in routes.servers.items()}
        assert serving == wanted, "HAProxy asks at other addresses"
        assert observed.entries == routes.entries
        assert observed.certificates == routes.certificates.keys()
