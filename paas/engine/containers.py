"""Containers: how an app's processes are described, started, looked at and stopped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paas.engine import limits, shared_network
from paas.engine import options as docker_options
from paas.engine.client import engine_errors, limit, patience
from paas.engine.hijacked import Stream, hijacked
from paas.engine.networks import Networks
from paas.engine.shared_network import FixedAddresses
from paas.errors import EngineFailed, PaasError

if TYPE_CHECKING:
    from docker import APIClient

LABEL_APP = "paas.app"
LABEL_RELEASE = "paas.release"
LABEL_TYPE = "paas.process-type"
LABEL_PROCESS = "paas.process"
LABEL_ROOT = "paas.root"
LABEL_OPERATION = "paas.operation"

DEFAULT_GRACE_SECONDS = 10  # the engine's own


class ContainerGone(PaasError):
    """The container {id} is gone. Look with ps:report, then bring the app back with ps:restart"""


class StartFailed(PaasError):
    """{name} can't be started: {reason}"""


@dataclass(frozen=True)
class ContainerSpec:
    """Everything that is asked of the engine for one container.

    `command` None means the image's own; `entrypoint` None likewise. `publish` is a container port to publish
    on a free loopback port of the host. `stop_seconds` is the grace between SIGTERM and SIGKILL. `options` are words
    as `docker run` takes them (``--shm-size 64m``); they count more than the other fields. `networks`: what it is on
    besides `network`, each with the name under which others find it there (empty: none); `network` itself may be
    among them for its name. `address`: which one it has on `network`, empty for any.
    """

    name: str
    image: str
    labels: dict[str, str]
    environment: dict[str, str]
    network: str
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    publish: int | None = None
    tty: bool = False
    stdin: bool = False
    stop_seconds: int | None = None
    options: tuple[str, ...] = ()
    networks: tuple[tuple[str, str], ...] = ()
    address: str = ""


@dataclass(frozen=True)
class ContainerState:
    """A container as it is now; `health` is Docker's own word or None; `address` is that on the network which it was
    made on, empty when it has none."""

    id: str
    running: bool
    status: str
    exit_code: int
    oom_killed: bool
    error: str
    health: str | None
    restarts: int
    address: str
    published_port: int | None
    labels: dict[str, str]
    pid: int

    @property
    def up(self) -> bool:
        """Whether there is a process now; between an end and the engine's next try there is none."""
        return self.running and self.status != "restarting"


@dataclass(frozen=True)
class CreateCall:
    """What makes a container: the create call's body as the API spells it, and its two parameters; `networks` are to be
    joined before the start, each with its endpoint settings."""

    body: dict[str, Any]
    name: str
    platform: str | None
    networks: list[tuple[str, dict[str, Any]]]


def create_call(spec: ContainerSpec, client: APIClient) -> CreateCall:
    """The create call of a spec, nothing sent yet. Raises BadOption."""
    options = docker_options.parse(spec.options)
    body: dict[str, Any] = client.create_container_config(**engine_arguments(spec, client))
    networks = docker_options.apply(options, body)
    limits.settle(options.host, body["HostConfig"])
    return CreateCall(body, spec.name, options.platform, networks)


def _still_to_join(spec: ContainerSpec, call: CreateCall) -> list[tuple[str, str]]:
    """Which of the spec's networks the options have not said anything else about."""
    mode = call.body["HostConfig"]["NetworkMode"]
    if docker_options.is_lonely(mode):
        return []
    joined = {spec.network, mode, *(name for name, _ in call.networks)}
    return [item for item in spec.networks if item[0] not in joined]


def engine_arguments(spec: ContainerSpec, client: APIClient) -> dict[str, Any]:
    """A spec without its options, in the words of the client library."""
    host: dict[str, Any] = {
        "init": True,
        "network_mode": spec.network,
        **limits.defaults(),
    }
    if spec.publish is not None:
        host["port_bindings"] = {f"{spec.publish}/tcp": ("127.0.0.1", None)}
    arguments: dict[str, Any] = {
        "image": spec.image,
        "labels": spec.labels,
        "environment": [f"{key}={value}" for key, value in spec.environment.items()],
        "command": list(spec.command) if spec.command is not None else None,
        "entrypoint": list(spec.entrypoint) if spec.entrypoint is not None else None,
        "tty": spec.tty,
        "stdin_open": spec.stdin,
        "host_config": client.create_host_config(**host),
    }
    if spec.publish is not None:
        arguments["ports"] = [spec.publish]
    if spec.stop_seconds is not None:
        arguments["stop_timeout"] = spec.stop_seconds
    alias = dict(spec.networks).get(spec.network)
    if alias or spec.address:
        endpoint = client.create_endpoint_config(
            aliases=[alias] if alias else None, ipv4_address=spec.address or None
        )
        endpoints: Any = {spec.network: endpoint}
        arguments["networking_config"] = client.create_networking_config(endpoints)
    return arguments


class Containers:
    """The engine's containers, as far as they are ours."""

    def __init__(self, client: APIClient) -> None:
        self.client = client

    def create(self, spec: ContainerSpec) -> str:
        """Create without starting; the container's id. Raises BadOption, EngineFailed, EngineUnavailable."""
        call = create_call(spec, self.client)
        with engine_errors():
            made = self.client.create_container_from_config(call.body, call.name, call.platform)
        container = str(made["Id"])
        try:
            for name, endpoint in call.networks:
                self._join(container, name, endpoint)
            for name, alias in _still_to_join(spec, call):
                Networks(self.client).connect(container, name, alias)
        except BaseException:
            self.remove(container)
            raise
        return container

    def _join(self, container_id: str, network: str, endpoint: dict[str, Any]) -> None:
        """Connect to one more network. The library knows only some of the endpoint's settings."""
        client: Any = self.client
        data = {"Container": container_id, "EndpointConfig": endpoint}
        with engine_errors():
            client._raise_for_status(
                client._post_json(client._url("/networks/{0}/connect", network), data=data)
            )

    def start(self, container_id: str, name: str) -> None:
        """Raises StartFailed, with the engine's reason (command not found, …)."""
        try:
            with engine_errors():
                self.client.start(container_id)
        except EngineFailed as error:
            raise StartFailed(name=name, reason=_start_reason(str(error.fields["reason"]))) from error

    def set_restart_policy(self, container_id: str, policy: Any) -> None:
        """From now on the engine starts the container again as the RestartPolicy says.

        Not before it was healthy: a failing start would be repeated, and what it said first be lost.
        """
        with engine_errors():
            self.client.update_container(container_id, restart_policy=policy)

    def state(self, container_id: str) -> ContainerState:
        """Raises ContainerGone."""
        from docker.errors import NotFound

        with engine_errors():
            try:
                return _state(self.client.inspect_container(container_id))
            except NotFound:
                raise ContainerGone(id=container_id[:12]) from None

    def find(self, container_id: str) -> ContainerState | None:
        try:
            return self.state(container_id)
        except ContainerGone:
            return None

    def inspect(self, container_id: str) -> dict[str, Any]:
        with engine_errors():
            data: dict[str, Any] = self.client.inspect_container(container_id)
            return data

    def ids(self, labels: dict[str, str]) -> list[str]:
        """All containers, running or not, that carry these labels."""
        return [item["Id"] for item in self.listed(labels)]

    def states(self, labels: dict[str, str]) -> list[ContainerState]:
        """As `state`, of all containers with these labels, by one question; what the engine's list does not tell is
        empty there: exit code, error, health, restarts, process id."""
        return [_listed_state(item) for item in self.listed(labels)]

    def listed(self, labels: dict[str, str]) -> list[dict[str, Any]]:
        """As `ids`, as the engine lists them (Id, State, Labels, NetworkSettings, …)."""
        filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
        with engine_errors():
            items: list[dict[str, Any]] = self.client.containers(all=True, filters=filters)
            return items

    def wait(self, container_id: str, seconds: int | None = None) -> int | None:
        """Wait for its end: the exit code, or None when it still runs after `seconds`."""
        import requests.exceptions
        from docker.errors import NotFound

        with engine_errors():
            try:
                return int(self.client.wait(container_id, timeout=seconds)["StatusCode"])
            except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError) as error:
                if seconds is not None and "timed out" in str(error).lower():
                    return None
                raise
            except NotFound:
                raise ContainerGone(id=container_id[:12]) from None

    def logs(self, container_id: str, lines: int) -> bytes:
        """The last `lines` lines, output and errors as they came."""
        with engine_errors():
            data: bytes = self.client.logs(container_id, tail=lines, stdout=True, stderr=True)
            return data

    def run_to_end(self, container_id: str, name: str, on_output: Callable[[bytes], None]) -> int:
        """Start a created container, hand on what it prints as it comes, and return its exit code."""
        with engine_errors(), patience(self.client):
            answer = self.client.attach_socket(container_id, {"stdout": 1, "stderr": 1, "stream": 1})
            with hijacked(answer) as stream:
                self.start(container_id, name)
                for piece in stream.output():
                    on_output(piece)
            return int(self.client.wait(container_id)["StatusCode"])

    def stop(self, container_id: str) -> None:
        """SIGTERM, then SIGKILL after the grace that the container was made with. Fine when it is gone."""
        from docker.errors import NotFound

        with engine_errors(), contextlib.suppress(NotFound):
            config = self.client.inspect_container(container_id)["Config"]
            grace = config.get("StopTimeout") or DEFAULT_GRACE_SECONDS
            with limit(self.client, self.client.timeout + grace):
                self.client.stop(container_id)

    def remove(self, container_id: str) -> None:
        """Kill and remove, with its anonymous volumes. Fine when it is gone or somebody else removes it."""
        with _fine_when_over():
            self.client.remove_container(container_id, force=True, v=True)

    def kill(self, container_id: str, signal: str = "SIGKILL") -> None:
        """Fine when it does not run."""
        with _fine_when_over():
            self.client.kill(container_id, signal)

    def exec_code(self, container_id: str, command: tuple[str, ...], seconds: float) -> int | None:
        """Run a command in a container: its exit code, None when it took longer than `seconds` or can't run."""
        from docker.errors import APIError

        with engine_errors():
            try:
                exec_id = self.client.exec_create(container_id, list(command))["Id"]
                answer = self.client.exec_start(exec_id, socket=True)
            except APIError:  # it does not run; the caller looks why
                return None
            with hijacked(answer) as stream:
                if not _ends_within(stream, seconds):
                    return None
            code = self.client.exec_inspect(exec_id)["ExitCode"]
            return int(code) if code is not None else None

    def ensure_network(self, name: str, labels: dict[str, str]) -> FixedAddresses | None:
        """The apps' shared network, see `shared_network.ensure`."""
        return shared_network.ensure(self.client, name, labels)


@contextlib.contextmanager
def _fine_when_over() -> Iterator[None]:
    from docker.errors import APIError

    with engine_errors():
        try:
            yield
        except APIError as error:
            # It is not there any more, or not in the state that is to be ended.
            if error.status_code not in (404, 409):
                raise


def _ends_within(stream: Stream, seconds: float) -> bool:
    """Read a stream to its end, whatever it says. The library's own reading has no time limit."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        stream.socket.settimeout(left)
        try:
            if not stream.receive():
                return True
        except TimeoutError:
            break
    return False


def _start_reason(reason: str) -> str:
    for mark in ("exec: ", "stat ", "error mounting", "port is already allocated"):
        if mark in reason:
            return reason[reason.index(mark) :].removesuffix(": unknown")
    return reason


def _state(data: dict[str, Any]) -> ContainerState:
    state = data["State"]
    bindings = [item for items in (data["NetworkSettings"]["Ports"] or {}).values() for item in items or ()]
    return ContainerState(
        id=data["Id"],
        running=bool(state["Running"]),
        status=state["Status"],
        exit_code=state["ExitCode"],
        oom_killed=bool(state.get("OOMKilled")),
        error=state.get("Error", ""),
        health=(state.get("Health") or {}).get("Status"),
        restarts=data.get("RestartCount", 0),
        address=_address(data),
        published_port=int(bindings[0]["HostPort"]) if bindings else None,
        labels=(data.get("Config") or {}).get("Labels") or {},
        pid=state.get("Pid", 0),
    )


def _listed_state(data: dict[str, Any]) -> ContainerState:
    published = [item["PublicPort"] for item in data.get("Ports") or () if item.get("PublicPort")]
    return ContainerState(
        id=data["Id"],
        running=data["State"] in ("running", "paused", "restarting"),
        status=data["State"],
        exit_code=0,
        oom_killed=False,
        error="",
        health=None,
        restarts=0,
        address=_address(data),
        published_port=published[0] if published else None,
        labels=data.get("Labels") or {},
        pid=0,
    )


def _address(data: dict[str, Any]) -> str:
    networks = data["NetworkSettings"]["Networks"] or {}
    mode = (data.get("HostConfig") or {}).get("NetworkMode", "")
    made_on = networks.get("bridge" if mode == "default" else mode) or {}
    addresses = [item["IPAddress"] for item in (made_on, *networks.values()) if item.get("IPAddress")]
    if mode == "host":
        return "127.0.0.1"
    return addresses[0] if addresses else ""
