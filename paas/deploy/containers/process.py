"""How a process of an app is described to the engine: command, environment, labels, name."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from paas.deploy.containers import network
from paas.deploy.containers.addresses import reserve
from paas.deploy.containers.container_options import Phase, container_options
from paas.deploy.containers.services import DEFAULT_SIZE_MB, service_name, service_settings
from paas.deploy.routing.ports import container_port, publishes, udp_options
from paas.deploy.session import Session
from paas.deploy.sources.registry import IMAGE_KEY, REGISTRY_KEYS
from paas.engine.containers import (
    LABEL_APP,
    LABEL_OPERATION,
    LABEL_PROCESS,
    LABEL_RELEASE,
    LABEL_ROOT,
    LABEL_TYPE,
    ContainerSpec,
)
from paas.engine.images import Image
from paas.engine.options import without
from paas.engine.shared_network import FixedAddresses
from paas.errors import PaasError
from paas.model.names import ProcessType, printable
from paas.model.release import WEB, Release
from paas.model.words import split
from paas.store.apps import App
from paas.store.config import Config
from paas.store.locks import held
from paas.store.properties import GLOBAL

NETWORK_LOCK = "network.lock"
_MARK = "\ue000"
_MARKED = re.compile(f"{_MARK}([0-9]+){_MARK}")
_VARIABLE = r"\$(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)\})"
_IN_QUOTES = re.compile(rf"\\.|(?P<double>(?!))|{_VARIABLE}")
_EXPANDED = re.compile(rf"""'[^']*'|\\.|(?P<double>"(?:\\.|[^"\\])*")|{_VARIABLE}""")

# Docker options that a throw-away container of a deploy does without.
OF_PROCESSES = (
    "--cpus", "--gpus", "--memory", "--memory-reservation", "--memory-swap", "--memory-swappiness",
    "--publish", "--publish-all", "--restart",
)  # fmt: skip


class UnreadableCommand(PaasError):
    """The command of {process_type} has an unclosed quote: {command}. Nothing was changed"""


def command_words(
    line: str, image: Image, process_type: str, values: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """A command line as the image runs it: split into words for an ENTRYPOINT, else by /bin/sh.

    (Aptible's rule; Dokku's images without ENTRYPOINT go through a shell too.) No shell reads the words for an
    ENTRYPOINT, so what `values` names is put in here, as Dokku does: ``$PORT`` and ``${PORT}``, but for single quotes, as
    in a shell. Apps with an image set are Aptible's kind: there such words arrive as they are written.
    """
    if values and IMAGE_KEY in values:
        values = None
    if not image.entrypoint:
        return ("/bin/sh", "-c", line)
    found: list[str] = []

    def mark(match: re.Match[str]) -> str:
        if match["double"]:
            return _IN_QUOTES.sub(mark, match[0])
        value = (values or {}).get(match["name"] or match["braced"] or "")
        if value is None:
            return match[0]
        # Put in after the splitting: a value is never split, nor is a quote in it read.
        found.append(value)
        return f"{_MARK}{len(found) - 1}{_MARK}"

    try:
        words = split(_EXPANDED.sub(mark, line.replace(_MARK, "")))
    except ValueError:
        raise UnreadableCommand(process_type=process_type, command=printable(line)) from None
    return tuple(_MARKED.sub(lambda match: found[int(match[1])], word) for word in words)


def start_command(session: Session, app: App) -> str:
    """What ps:set dockerfile-start-cmd says; it counts more than Procfile and image. Empty where it is not set."""
    return session.properties.get(app.id, "ps", "dockerfile-start-cmd")


def labels(session: Session, app: App, process_type: str, operation_id: int | None = None) -> dict[str, str]:
    """What marks a container as ours."""
    found = {LABEL_ROOT: str(session.settings.root), LABEL_APP: str(app.name), LABEL_TYPE: process_type}
    if operation_id is not None:
        found[LABEL_OPERATION] = str(operation_id)
    return found


def ensure_network(session: Session, app: App | None = None) -> FixedAddresses | None:
    """The apps' network has to be there before a container is made on it. Raises NetworkMissing for those that the
    app was put on besides, or instead."""
    if app is not None:
        network.check(session, app)
    labels = {LABEL_ROOT: str(session.settings.root)}
    # One at a time: of two that ask at once the engine may make two networks of one name.
    with held(session.settings.locks_dir / NETWORK_LOCK):
        return session.containers.ensure_network(session.network, labels)


def environment(session: Session, app: App, config: dict[str, str], commit: str | None) -> dict[str, str]:
    """Global config under the release's own, without what only the platform may know; the commit's id where
    git:set rev-env-var says."""
    values = Config(session.database, GLOBAL).all() | config
    for key in REGISTRY_KEYS:
        values.pop(key, None)
    revision = session.properties.computed(app.id, "git", "rev-env-var")
    return ({revision: commit} if commit and revision else {}) | values


def metadata(commit: str | None, memory_mb: int | None) -> dict[str, str]:
    """What Aptible's platform tells every container about itself; an app's own config can't change it."""
    size = str(memory_mb or DEFAULT_SIZE_MB)
    found = {"APTIBLE_LAYER": "app", "APTIBLE_CONTAINER_SIZE": size, "APTIBLE_CONTAINER_PROFILE": "m"}
    return found | ({"APTIBLE_GIT_REF": commit} if commit else {})


def process_spec(
    session: Session,
    app: App,
    release: Release,
    image: Image,
    process_type: ProcessType,
    number: int,
    operation_id: int,
    count: int = 1,
    fixed: FixedAddresses | None = None,
) -> ContainerSpec:
    """One process of a release, the `number`th of `count` of its type; web's have an address out of `fixed`."""
    line = start_command(session, app) or release.manifest.processes[process_type]
    name = f"{process_type}.{number}"
    service = service_settings(session, app.id, process_type)
    values = environment(session, app, release.config, release.commit) | {"DYNO": name}
    values |= metadata(release.commit, service.memory_mb) | {
        "APTIBLE_PROCESS_TYPE": service_name(release.manifest, process_type),
        "APTIBLE_PROCESS_INDEX": str(number - 1),
        "APTIBLE_PROCESS_CONTAINER_COUNT": str(count),
    }
    publish = None
    bind: tuple[str, ...] = ()
    if process_type == WEB:
        port = container_port(session, app, release.manifest)
        values["PORT"] = str(port)
        if publishes(session, app):
            publish = port
        bind = network.bind_options(session, app, port)
        if number == 1:
            bind += udp_options(session, app)
    first = network.first_network(session, app)
    mine = process_type == WEB and first == session.network
    return ContainerSpec(
        name=f"{app.name}.{name}.{release.label}-{secrets.token_hex(3)}",
        image=release.image_tag,
        labels=labels(session, app, process_type, operation_id)
        | {LABEL_RELEASE: str(release.number), LABEL_PROCESS: name},
        environment=values,
        network=first,
        address=reserve(session, fixed) if mine else "",
        command=command_words(line, image, process_type, values) if line is not None else None,
        publish=publish,
        stop_seconds=service.stop_seconds,
        options=(*container_options(session, app, "deploy", process_type), *bind),
        networks=network.container_networks(session, app, process_type),
    )


def _one_off_options(session: Session, app: App, phase: Phase) -> tuple[str, ...]:
    words = container_options(session, app, phase)
    return words if phase == "run" else without(words, *OF_PROCESSES)


def one_off_spec(
    session: Session,
    app: App,
    release: Release,
    process_type: str,
    command: tuple[str, ...],
    operation_id: int | None = None,
    tty: bool = False,
    stdin: bool = False,
    phase: Phase = "run",
) -> ContainerSpec:
    """A throw-away container of a release: `run`, or a command of a deploy, which gets what the app's processes get but
    for their limits, ports and restarts."""
    mark = secrets.token_hex(3)
    values = environment(session, app, release.config, release.commit) | {"DYNO": f"{process_type}.{mark}"}
    values |= metadata(release.commit, None)
    return ContainerSpec(
        name=f"{app.name}.{process_type}.{mark}",
        image=release.image_tag,
        labels=labels(session, app, process_type, operation_id),
        environment=values,
        network=network.first_network(session, app),
        command=command,
        tty=tty,
        stdin=stdin,
        options=_one_off_options(session, app, phase),
        networks=network.container_networks(session, app),
    )
