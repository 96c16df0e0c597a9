"""One-off processes: `run` in a container of its own, `enter` in one that serves."""

from __future__ import annotations

from paas import interrupts
from paas.deploy.changes import release_image
from paas.deploy.process import command_words, ensure_network, one_off_spec
from paas.deploy.session import Session
from paas.engine.attach import exec_attached, run_attached
from paas.errors import NotDeployed, PaasError
from paas.model.names import ConfigKey, ProcessType, printable
from paas.model.release import Process
from paas.store.apps import App

RUN = "run"
# bash where the image has it; the words after sh -c are one constant text, never a user's.
SHELL = ("/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash || exec sh")


class NoCommand(PaasError):
    """Please specify a command to run, for example run {app} env"""


class NoContainer(PaasError):
    """No containers found for type '{kind}'"""


class ChooseContainer(PaasError):
    """No container type specified.
    Available types for app ({app}): {kinds}"""


def run(session: Session, app: App, words: list[str], env: list[str], terminal: bool) -> int:
    """Run `words` in a throw-away container of the current release; its exit code. Raises NotDeployed."""
    if not app.deployed:
        raise NotDeployed(app=app.name)
    if not words:
        raise NoCommand(app=app.name)
    release = session.releases.current(app)
    image = release_image(session, release)
    line = release.manifest.processes.get(ProcessType(words[0]))
    if line and len(words) == 1:
        session.console.step(f"Found '{words[0]}' in Procfile, running that command")
        command = command_words(line, image, words[0], release.config)
    else:
        command = tuple(words)
    config = release.config | dict(_assignment(text) for text in env)
    ensure_network(session, app)
    spec = one_off_spec(
        session,
        app,
        release.image_tag,
        image,
        config,
        release.commit,
        RUN,
        command,
        tty=terminal,
        stdin=True,
    )
    container = session.containers.create(spec)
    session.console.out.flush()
    try:
        return run_attached(session.api, container, terminal)
    finally:
        with interrupts.shielded():
            session.containers.remove(container)


def _assignment(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise PaasError(f"Invalid env pair: {printable(text)}")
    return ConfigKey.parse(key), value


def enter(session: Session, app: App, words: list[str], terminal: bool) -> int:
    """Run a command (a shell where there is none) in a serving container, named ``web`` or ``web.1``."""
    if not app.deployed:
        raise NotDeployed(app=app.name)
    processes = session.releases.processes(app.id)
    process, command = _choose(app, processes, words)
    session.console.out.flush()
    return exec_attached(session.api, process.container_id, command or list(SHELL), terminal, {})


def _choose(app: App, processes: list[Process], words: list[str]) -> tuple[Process, list[str]]:
    kinds = sorted({item.process_type for item in processes})
    rest = list(words)
    if rest and rest[0] not in ("--",):
        wanted = rest.pop(0)
        matching = [item for item in processes if wanted in (item.process_type, item.name)]
        if not matching:
            raise NoContainer(kind=printable(wanted))
    else:
        matching = processes
        if len(kinds) != 1:
            raise ChooseContainer(app=app.name, kinds=" ".join(kinds))
    if rest and rest[0] == "--":
        rest.pop(0)
    return matching[0], rest
