"""One-off processes: `run` in a container of its own, `enter` in one that serves."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from paas.deploy.changes import release_image
from paas.deploy.containers.process import command_words, ensure_network, one_off_spec
from paas.deploy.containers.run_containers import ATTACHED, DETACHED, RUN, run_containers, run_labels
from paas.deploy.orphans import remove_own
from paas.deploy.session import Session
from paas.engine.attach import exec_attached, run_attached
from paas.engine.client import connect
from paas.engine.containers import Containers, ContainerSpec
from paas.errors import NotDeployed, PaasError
from paas.model.names import ConfigKey, ProcessType, printable
from paas.settings import Settings
from paas.store.apps import App

# bash where the image has it; the words after sh -c are one constant text, never a user's.
SHELL = ("/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash || exec sh")


class NoCommand(PaasError):
    """Please specify a command to run, for example run {app} env"""


class NoContainer(PaasError):
    """No containers found for type '{kind}'"""


class NoSuchContainer(PaasError):
    """No container {container} found for {app}. See ps:report {app} and run:list {app}"""


class NotRunning(PaasError):
    """Container is not running"""


class ChooseContainer(PaasError):
    """No container type specified.
    Available types for app ({app}): {kinds}"""


class ReservedLabel(PaasError):
    """Labels that begin with paas. are the platform's own: {label}. Nothing was run"""


class InvalidLabel(PaasError):
    """Invalid label: {label}. Give KEY=VALUE. Nothing was run"""


@dataclass(frozen=True)
class Options:
    """How a one-off container is made: variables and labels as ``KEY=VALUE``, and the seconds that it may live."""

    env: Sequence[str] = ()
    labels: Sequence[str] = ()
    terminal: bool = False
    ttl_seconds: int | None = None


def run(session: Session, app: App, words: list[str], options: Options) -> int:
    """Run `words` in a throw-away container of the current release; its exit code. Raises NotDeployed."""
    spec = _spec(session, app, words, options, ATTACHED)
    container = session.containers.create(spec)
    session.console.out.flush()
    timer = threading.Timer(options.ttl_seconds or 0, _kill, [session.settings, container])
    timer.daemon = True
    try:
        if options.ttl_seconds is not None:
            timer.start()
        return run_attached(session.api, container, options.terminal)
    finally:
        timer.cancel()
        remove_own(session, container)


def run_detached(session: Session, app: App, words: list[str], options: Options) -> str:
    """Start `words` in a container that outlives this command; its name. The agent removes it. Raises NotDeployed."""
    spec = _spec(session, app, words, options, DETACHED)
    container = session.containers.create(spec)
    try:
        session.containers.start(container, spec.name)
    except BaseException:
        remove_own(session, container)
        raise
    return spec.name


def _kill(settings: Settings, container: str) -> None:
    # A thread has a connection of its own: the library's are not shared.
    with (
        contextlib.suppress(PaasError),
        contextlib.closing(connect(settings.docker_host, settings.engine_seconds)) as api,
    ):
        Containers(api).kill(container)


def _spec(session: Session, app: App, words: list[str], options: Options, kind: str) -> ContainerSpec:
    if not app.deployed:
        raise NotDeployed(app=app.name)
    if not words:
        raise NoCommand(app=app.name)
    release = session.releases.current(app)
    image = release_image(session, release)
    line = release.manifest.processes.get(ProcessType(words[0]))
    if line and len(words) == 1:
        if kind == ATTACHED:
            session.console.step(f"Found '{words[0]}' in Procfile, running that command")
        command = command_words(line, image, words[0], release.config)
    else:
        command = tuple(words)
    config = release.config | dict(_assignment(text) for text in options.env)
    labels = dict(_label(text) for text in options.labels)
    ensure_network(session, app)
    attached = kind == ATTACHED
    spec = one_off_spec(
        session,
        app,
        replace(release, config=config),
        RUN,
        command,
        tty=options.terminal,
        stdin=attached,
    )
    return replace(spec, labels=labels | spec.labels | run_labels(kind, options.ttl_seconds))


def _label(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise InvalidLabel(label=printable(text))
    if key.startswith("paas."):
        raise ReservedLabel(label=printable(key))
    return key, value


def _assignment(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise PaasError(f"Invalid env pair: {printable(text)}")
    return ConfigKey.parse(key), value


def enter(session: Session, app: App, words: list[str], terminal: bool) -> int:
    """Run a command (a shell where there is none) in a container of the app: `words` are ``[web|web.1] [--] [COMMAND…]``
    or ``--container-id ID [--] [COMMAND…]``, where ID may also be a name."""
    if not app.deployed:
        raise NotDeployed(app=app.name)
    rest = list(words)
    if rest and rest[0].partition("=")[0] == "--container-id":
        _, separator, given = rest.pop(0).partition("=")
        container = _by_id(session, app, given if separator else rest.pop(0) if rest else "")
    else:
        container = _by_type(session, app, rest)
    if rest and rest[0] == "--":
        rest.pop(0)
    state = session.containers.find(container)
    if state is None or not state.running:
        raise NotRunning()
    session.console.out.flush()
    return exec_attached(session.api, container, rest or list(SHELL), terminal, {})


def _by_type(session: Session, app: App, rest: list[str]) -> str:
    """The first container of the type that `rest` begins with, which is taken from it."""
    processes = session.releases.processes(app.id)
    kinds = sorted({item.process_type for item in processes})
    if rest and rest[0] != "--":
        wanted = rest.pop(0)
        matching = [item for item in processes if wanted in (item.process_type, item.name)]
        if not matching:
            raise NoContainer(kind=printable(wanted))
        return matching[0].container_id
    if len(kinds) != 1:
        raise ChooseContainer(app=app.name, kinds=" ".join(kinds))
    return processes[0].container_id


def _by_id(session: Session, app: App, given: str) -> str:
    """A container of the app by its id, the beginning of it, or its name."""
    known = {item.container_id: "" for item in session.releases.processes(app.id)}
    known |= {item.id: item.name for item in run_containers(session, app)}
    for identifier, name in known.items():
        if given and (identifier.startswith(given) or given == (name or _name(session, identifier))):
            return identifier
    raise NoSuchContainer(container=printable(given) or "without an id", app=app.name)


def _name(session: Session, container: str) -> str:
    return str(session.containers.inspect(container)["Name"]).removeprefix("/")
