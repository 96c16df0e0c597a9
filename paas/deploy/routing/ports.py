"""ports:*: which ports of the host lead to which ports of an app's web containers."""

from __future__ import annotations

import dataclasses
import random
import socket
from collections.abc import Callable, Iterable

from paas.deploy.routing.reroute import rerouted
from paas.deploy.routing.routes import LOOPBACK, Reach, main_container_port, reaches
from paas.deploy.session import Session
from paas.model.port import HTTP_PORT, PortMapping, check_unique
from paas.model.release import DEFAULT_PORT, WEB, Manifest
from paas.store.apps import App

NAMESPACE = "ports"
MAP = "map"
RANDOM = "random"  # the host port of an app without domains and without a map
RANDOM_RANGE = (20_000, 32_000)  # below the ports that outgoing connections take
RANDOM_TRIES = 50
CONNECT_SECONDS = 1.0


def stored(session: Session, app: App) -> list[PortMapping]:
    """The mappings that were set for the app."""
    return [PortMapping.parse(text) for text in session.properties.items(app.id, NAMESPACE, MAP)]


def reach(session: Session, app: App) -> Reach:
    """How the app is reached."""
    return next(item for item in reaches(session) if item.app.id == app.id)


def detected(session: Session, app: App) -> PortMapping:
    """What counts where nothing was set: the router's port (or proxy-port) and the port that the image exposes."""
    properties = session.properties
    host = properties.computed(app.id, "proxy", "proxy-port")
    if not session.domains.enabled(app.id):
        host = host or properties.get(app.id, NAMESPACE, RANDOM)
    port = session.releases.current(app).manifest.port if app.deployed else DEFAULT_PORT
    return PortMapping("http", int(host or HTTP_PORT), port)


def container_port(session: Session, app: App, manifest: Manifest) -> int:
    """Where a web process of this manifest is to listen: what PORT says to it."""
    return main_container_port(stored(session, app)) or manifest.port


def publishes(session: Session, app: App) -> bool:
    """Whether web processes are published on loopback ports: without HAProxy, and after proxy:disable."""
    disabled = session.properties.get(app.id, "proxy", "disabled") == "true"
    return session.router.publishes_ports or disabled


def add(session: Session, app: App, new: list[PortMapping]) -> None:
    """Raises PortReused and what `rerouted` raises."""
    check_unique(new, "new ")
    everything = [*stored(session, app), *new]
    check_unique(everything, "all ")
    replace(session, app, everything)


def remove(session: Session, app: App, wanted: Callable[[PortMapping], bool]) -> None:
    """Remove the mappings for which `wanted` is true."""
    replace(session, app, [item for item in stored(session, app) if not wanted(item)])


def replace(session: Session, app: App, mappings: Iterable[PortMapping]) -> None:
    """Set the app's map, none: back to the detected one. It counts at once, without a deploy."""
    wanted = sorted(set(mappings))
    check_unique(wanted)
    before = stored(session, app)
    if wanted == before:
        return
    with rerouted(session):
        session.properties.set_items(app.id, NAMESPACE, MAP, [str(item) for item in wanted])
        ensure_port(session, app)
        _lead_to(session, app)
    for item in wanted:
        if item.scheme == "udp" and item not in before:
            session.console.warn(
                f"{item}: the engine publishes it for web.1 from the next deploy or ps:restart {app.name} on. The router"
                " forwards no UDP, so web's old processes stop before new ones start from then on"
            )


def udp_options(session: Session, app: App) -> tuple[str, ...]:
    """What publishes the app's udp mappings. One container can have a port of the host, and only after another one has
    let go of it."""
    found = (item for item in stored(session, app) if item.scheme == "udp")
    return tuple(word for item in found for word in ("--publish", f"{item.host}:{item.container}/udp"))


def ensure_port(session: Session, app: App) -> None:
    """Give an app that no domain and no mapping leads to a port of the host, once and for all, as Dokku does."""
    properties = session.properties
    if session.domains.enabled(app.id) or stored(session, app) or session.router.publishes_ports:
        return
    if properties.computed(app.id, "proxy", "proxy-port") or properties.get(app.id, NAMESPACE, RANDOM):
        return
    session.console.step("No port set, setting to random open high port")
    taken = {item.host for other in reaches(session) for item in other.mappings}
    for _ in range(RANDOM_TRIES):
        port = random.randint(*RANDOM_RANGE)  # noqa: S311 - no secret
        if port not in taken and session.router.refusal(port) is None:
            break
    session.console.step(f"Random port {port}")
    properties.set(app.id, NAMESPACE, RANDOM, str(port))


def _lead_to(session: Session, app: App) -> None:
    """Send requests to the mapped port of the processes that listen on it already; others get it with PORT."""
    if not app.deployed:
        return
    wanted = container_port(session, app, session.releases.current(app).manifest)
    for process in session.releases.processes(app.id):
        if process.process_type != WEB or process.port == wanted or process.address == LOOPBACK:
            continue
        if _listens(process.address, wanted):
            session.releases.move_process(dataclasses.replace(process, port=wanted))
        else:
            session.console.warn(
                f"{process.name} does not listen on port {wanted}: it is used from the next deploy or"
                f" ps:restart {app.name} on"
            )


def _listens(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), CONNECT_SECONDS):
            return True
    except OSError:
        return False
