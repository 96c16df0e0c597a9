"""What a process may use of the machine (resource:*), and what the scheduler does with it: restarts, init, log size.

Limits are properties of the namespace ``resource``, ``TYPE.limit.memory``; a type's own counts before ``_default_``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from paas.deploy.containers import docker_options
from paas.deploy.session import Session
from paas.engine import option_values as values
from paas.engine.containers import ContainerState
from paas.engine.options import parse
from paas.errors import PaasError
from paas.model.names import ProcessType, printable
from paas.store.apps import App
from paas.store.properties import GLOBAL

NAMESPACE = "resource"
DEFAULT = "_default_"
CLEAR = "clear"
Which = Literal["limit", "reserve"]

MEGABYTE = 1024 * 1024
SMALLEST_MEMORY = 6 * MEGABYTE


class InvalidResource(PaasError):
    """Invalid value for {key}: {reason}. Nothing was changed"""


class ResourcesDisagree(PaasError):
    """{low} of {kind} ({low_value}) is below {high} ({high_value}), which Docker refuses. Nothing was changed"""


def memory(text: str) -> int:
    """Bytes; a number without a unit means megabytes."""
    found = values.size(f"{text}m" if text.isdecimal() else text)
    if found < SMALLEST_MEMORY:
        raise ValueError(f"{text!r} is less than 6m, the least that Docker takes")
    return found


def _swap(text: str) -> int:
    return -1 if text == "-1" else memory(text)


def _network(text: str) -> str:
    if not text.isalnum() or not text[0].isdecimal():
        raise ValueError(f"{text!r} is not a number like 100 or 10m")
    return text


READ: dict[str, Callable[[str], object]] = {
    "cpu": values.cpus,
    "memory": memory,
    "memory-swap": _swap,
    "network": _network,
    "network-ingress": _network,
    "network-egress": _network,
    "nvidia-gpu": values.gpus,
}
# What Docker can do with them; the others are stored for reports only.
WITH_EFFECT = {"limit": ("cpu", "memory", "memory-swap", "nvidia-gpu"), "reserve": ("memory",)}


def own(session: Session, app_id: int, kind: str, which: Which) -> dict[str, str]:
    """What is set for exactly this type (or `DEFAULT`), by key; empty where nothing is."""
    return {key: session.properties.get(app_id, NAMESPACE, f"{kind}.{which}.{key}") for key in READ}


def effective(session: Session, app_id: int, kind: str, which: Which) -> dict[str, str]:
    """What counts for a process type, by key, without what is not set."""
    found = own(session, app_id, DEFAULT, which)
    found |= {key: value for key, value in own(session, app_id, kind, which).items() if value}
    return {key: value for key, value in found.items() if value}


def memory_mb(session: Session, app_id: int, kind: str) -> int | None:
    """The memory limit of a process type in megabytes, rounded up; None where there is none."""
    found = effective(session, app_id, kind, "limit").get("memory")
    return -(-memory(found) // MEGABYTE) if found else None


def change(session: Session, app: App, kind: str, which: Which, wanted: dict[str, str]) -> None:
    """Set values by key, ``clear`` removes one. Raises InvalidResource, ResourcesDisagree; then nothing is stored."""
    for key, value in wanted.items():
        if value != CLEAR:
            try:
                READ[key](value)
            except ValueError as error:
                raise InvalidResource(key=key, reason=printable(str(error), 300)) from None
    with session.database.transaction():
        for key, value in wanted.items():
            stored = "" if value == CLEAR else value
            session.properties.set(app.id, NAMESPACE, f"{kind}.{which}.{key}", stored)
        _check(session, app.id)


def clear(session: Session, app: App, kind: str | None, which: Which) -> None:
    """Forget the values of one type, or those of all."""
    with session.database.transaction():
        for stored in session.properties.all(app.id, NAMESPACE):
            of, found, _ = stored.rsplit(".", 2)
            if found == which and kind in (None, of):
                session.properties.set(app.id, NAMESPACE, stored, "")
        _check(session, app.id)


def _check(session: Session, app_id: int) -> None:
    kinds = sorted({stored.rsplit(".", 2)[0] for stored in session.properties.all(app_id, NAMESPACE)})
    for kind in kinds:
        limits = effective(session, app_id, kind, "limit")
        reserved = effective(session, app_id, kind, "reserve").get("memory")
        limit, swap = limits.get("memory"), limits.get("memory-swap")
        if limit and swap and swap != "-1" and memory(swap) < memory(limit):
            raise ResourcesDisagree(
                low="The limit memory-swap", low_value=swap, high="memory", high_value=limit, kind=kind
            )
        if limit and reserved and memory(limit) < memory(reserved):
            raise ResourcesDisagree(
                low="The memory limit",
                low_value=limit,
                high="the reservation",
                high_value=reserved,
                kind=kind,
            )


def resource_options(
    session: Session, app: App, phase: str, process_type: ProcessType | None = None
) -> tuple[str, ...]:
    """The limits of a process as words for `docker run`."""
    if phase != "deploy":
        return ()
    limits = effective(session, app.id, process_type or DEFAULT, "limit")
    reserved = effective(session, app.id, process_type or DEFAULT, "reserve")
    words = []
    if "cpu" in limits:
        words.append(f"--cpus={limits['cpu']}")
    if "memory" in limits:
        words.append(f"--memory={memory(limits['memory'])}")
        if "memory-swap" in limits:
            words.append(f"--memory-swap={_swap(limits['memory-swap'])}")
    if "nvidia-gpu" in limits:
        words.append(f"--gpus={limits['nvidia-gpu']}")
    if "memory" in reserved:
        words.append(f"--memory-reservation={memory(reserved['memory'])}")
    return tuple(words)


def scheduler_options(
    session: Session, app: App, phase: str, process_type: ProcessType | None = None
) -> tuple[str, ...]:
    """What ps:set restart-policy, scheduler-docker-local:set init-process and logs:set max-size mean for a container."""
    computed = session.properties.computed
    words = [f"--init={computed(app.id, 'scheduler-docker-local', 'init-process')}"]
    max_size = computed(app.id, "logs", "max-size")
    words.append(f"--log-opt=max-size={'-1' if max_size == 'unlimited' else max_size}")
    if phase == "deploy":
        words.append(f"--restart={computed(app.id, 'ps', 'restart-policy')}")
    return tuple(words)


def chosen_restart_policy(session: Session, app: App, kind: ProcessType) -> dict[str, Any] | None:
    """The engine's RestartPolicy where somebody chose one, None where the default counts. Raises BadOption."""
    get = session.properties.get
    stored = get(app.id, "ps", "restart-policy") or get(GLOBAL, "ps", "restart-policy")
    words = docker_options.option_words(session, app, "deploy", kind)
    return parse([*([f"--restart={stored}"] if stored else []), *words]).restart


def stays_ended(session: Session, app: App, kind: ProcessType, state: ContainerState) -> bool:
    """Whether a container that ended, and that the engine left so, is to stay ended as its chosen policy says.

    Without a chosen one a process is to run, whatever it ended with.
    """
    policy = chosen_restart_policy(session, app, kind)
    if policy is None or policy["Name"] in ("always", "unless-stopped"):
        return False
    tried = policy["MaximumRetryCount"] and state.restarts >= policy["MaximumRetryCount"]
    return policy["Name"] == "no" or state.exit_code == 0 or bool(tried)
