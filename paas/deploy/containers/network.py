"""Networks: which ones an app's containers are on beside, or instead of, the one that all apps share."""

from __future__ import annotations

from dataclasses import replace

from paas.deploy.routing.reroute import rerouted
from paas.deploy.routing.routes import LOOPBACK, static_servers
from paas.deploy.session import Session
from paas.engine.containers import LABEL_ROOT, ContainerState
from paas.engine.networks import Network, Networks
from paas.errors import PaasError
from paas.model.network import BRIDGE
from paas.model.release import WEB, Process
from paas.store import routing
from paas.store.apps import App

NAMESPACE = "network"
AFTER_CREATE = "attach-post-create"
AFTER_DEPLOY = "attach-post-deploy"
INITIAL = "initial-network"
STATIC = "static-web-listener"
BIND_ALL = "bind-all-interfaces"
LABEL_NETWORK = "paas.network"


class NetworkMissing(PaasError):
    """Network {name} does not exist. Nothing was changed. Make it with network:create {name}, or unset {key} with network:set {app} {key}"""


class NoSuchNetwork(PaasError):
    """Network does not exist"""


class NotOurNetwork(PaasError):
    """Network {name} was not made by network:create, so paas does not remove it. Nothing was changed"""


def _value(session: Session, app: App, key: str) -> str:
    return session.properties.computed(app.id, NAMESPACE, key)


def networks(session: Session) -> Networks:
    return Networks(session.api)


def first_network(session: Session, app: App) -> str:
    """The network on which the app's containers are made, and the router finds them."""
    return _value(session, app, INITIAL) or session.network


def alias(session: Session, app: App, process_type: str) -> str:
    """``APP.TYPE[.tld]``, under which processes are found on networks that they share with others."""
    return ".".join(part for part in (app.name, process_type, _value(session, app, "tld")) if part)


def container_networks(
    session: Session, app: App, process_type: str | None = None
) -> tuple[tuple[str, str], ...]:
    """For ContainerSpec.networks; containers that are no process of a type have no name there."""
    name = alias(session, app, process_type) if process_type else ""
    first = _value(session, app, INITIAL)
    # The engine's own bridge knows no names.
    own = [first] if first not in ("", BRIDGE) else []
    return tuple((network, name) for network in [*own, *_value(session, app, AFTER_CREATE).split()])


def bind_options(session: Session, app: App, port: int) -> tuple[str, ...]:
    """The words that publish a web process on a free port of every interface, where bind-all-interfaces asks for it."""
    return ("--publish", str(port)) if _value(session, app, BIND_ALL) == "true" else ()


def check(session: Session, app: App) -> None:
    """Raises NetworkMissing for a network that the app is set to be on and that is not there."""
    wanted = {
        name: key
        for key in (AFTER_DEPLOY, AFTER_CREATE, INITIAL)
        for name in _value(session, app, key).split()
    }
    if not wanted:
        return
    known = {network.name for network in networks(session).all()}
    for name, key in wanted.items():
        if name not in known:
            raise NetworkMissing(name=name, key=key, app=app.name)


def attach_deployed(session: Session, app: App, processes: list[Process]) -> None:
    """Put processes that serve on the attach-post-deploy networks."""
    for name in _value(session, app, AFTER_DEPLOY).split():
        session.console.step(f"Associating app with network {name}")
        for process in processes:
            networks(session).connect(process.container_id, name, alias(session, app, process.process_type))


def as_it_is(process: Process, state: ContainerState | None) -> Process:
    """The process with whether its container runs (None: it is gone), and where."""
    found = replace(process, down=state is None or not state.up)
    if state is not None and state.published_port is not None and process.address == LOOPBACK:
        return replace(found, address=LOOPBACK, port=state.published_port)
    if state is not None and state.address:
        return replace(found, address=state.address)
    return found


def note_state(session: Session, process: Process, state: ContainerState | None) -> None:
    """Write down whether a container runs, and where."""
    found = as_it_is(process, state)
    if found != process:
        session.releases.move_process(found)


def note_states(session: Session) -> None:
    """The same for every process, and the router in step with it. One question to the engine, however many there are."""
    found = {item.id: item for item in session.containers.states({LABEL_ROOT: str(session.settings.root)})}
    with session.routing():
        with session.database.transaction():
            for process in session.releases.all_processes():
                note_state(session, process, found.get(process.container_id))
        version = routing.version(session.database)
        session.apply(session.routes(), version)


def rebuild(session: Session, apps: list[App]) -> None:
    """Put what serves on the networks that it belongs on, and tell the router where it is now."""
    for app in apps:
        check(session, app)
        processes = session.releases.processes(app.id)
        for process in processes:
            state = session.containers.find(process.container_id)
            note_state(session, process, state)
        attach_deployed(session, app, processes)
    session.reroute()


def web_listeners(session: Session, app: App) -> list[str]:
    """Where the router sends the app's requests: ``ADDRESS:PORT``."""
    static = session.properties.get(app.id, NAMESPACE, STATIC).split()
    processes = session.releases.processes(app.id)
    return static or [f"{item.address}:{item.port}" for item in processes if item.process_type == WEB]


def set_property(session: Session, scope: int, key: str, value: str) -> None:
    """Keep a property of an app or of all (GLOBAL), empty to unset it. Static listeners count at once, the rest when
    containers are made."""
    before = session.properties.get(scope, NAMESPACE, key)
    if key != STATIC:
        session.properties.set(scope, NAMESPACE, key, value)
        return
    with rerouted(session):
        session.properties.set(scope, NAMESPACE, STATIC, value)
    app = session.apps.by_id(scope)
    kept = {server.name for server in static_servers(value)}
    for server in static_servers(before):
        if app and server.name not in kept:
            session.router.remove(app.slot, server.name)
    if value and session.router.missing:
        session.console.warn(f"It has no effect yet: {session.router.missing}")


def create(session: Session, name: str) -> None:
    """Raises NetworkExists."""
    networks(session).create(name, {LABEL_ROOT: str(session.settings.root), LABEL_NETWORK: name})


def get(session: Session, name: str) -> Network:
    """Raises NoSuchNetwork."""
    found = networks(session).find(name)
    if found is None:
        raise NoSuchNetwork()
    return found


def is_ours(session: Session, network: Network) -> bool:
    """Whether network:create of this installation made it."""
    labels = network.labels
    return labels.get(LABEL_ROOT) == str(session.settings.root) and LABEL_NETWORK in labels


def removable(session: Session, name: str) -> Network:
    """Raises NoSuchNetwork, NotOurNetwork."""
    network = get(session, name)
    if not is_ours(session, network):
        raise NotOurNetwork(name=network.name)
    return network


def document(session: Session, network: Network) -> dict[str, object]:
    """As ``network:list --format json`` shows it."""
    return {
        "CreatedAt": network.created_at,
        "DokkuManaged": is_ours(session, network),
        "Driver": network.driver,
        "ID": network.id,
        "Internal": network.internal,
        "IPv6": network.ipv6,
        "Labels": network.labels,
        "Name": network.name,
        "Scope": network.scope,
    }
