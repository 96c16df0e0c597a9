"""Commands around a release: before it, after the switch, and the after-hooks; each in a throw-away container, but for
predeploy, whose container becomes the release's image."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import PurePosixPath

from paas.deploy.containers.process import command_words, ensure_network, one_off_spec
from paas.deploy.orphans import remove_own
from paas.deploy.session import Session
from paas.engine.committed import commit, run_in
from paas.engine.containers import LABEL_APP, LABEL_ROOT, StartFailed
from paas.engine.images import Image
from paas.engine.options import parse, without
from paas.errors import Cancelled, PaasError
from paas.model.release import FIRST_POSTDEPLOY, POSTDEPLOY, PREDEPLOY, RELEASE, PhaseCommand, Release
from paas.steps import step
from paas.store.apps import App

PHASE_SECONDS = 30 * 60
APTIBLE_YML = ".aptible.yml"
# The words are constant; the script is the shell's $0. bash where the image has it, as Dokku's users expect.
ANY_SHELL = ("/bin/sh", "-c", 'if command -v bash >/dev/null 2>&1; then exec bash -c "$0"; fi; exec sh -c "$0"')
# A shell without pipefail would end at being asked for it.
SCRIPT = "set -e\n(set -o pipefail) 2>/dev/null && set -o pipefail\n{command}\n"
# Exit codes of a shell, and of the engine, that find no program.
NOT_FOUND = 127
CAN_NOT_RUN = 126
END_SECONDS = 1  # until a container without a shell has ended
# Waits for its standard input, which nobody ever writes to.
IDLE = (("/bin/sh", "-c"), ("read -r nothing",))


class PhaseFailed(PaasError):
    """Execution of {phase} task failed: {command} ({reason}). Nothing was changed; the release that served before still does"""

    @property
    def short(self) -> str:
        """Without what stayed as it was, for commands that change nothing by failing."""
        return str(self).partition(". Nothing")[0]


class AfterFailed(PaasError):
    """Execution of {phase} task failed: {command} ({reason}). The new release {release} serves already and stays. Mend the task and deploy again, or run it by hand with run {app}"""


def run_before(session: Session, app: App, release: Release, image: Image, operation_id: int) -> Image:
    """Run the release's before-commands one after the other; the image that the release then has.

    Raises PhaseFailed at the first that does not exit with 0; the rest is not run.
    """
    wanted = list(release.manifest.before)
    if app.deployed:
        wanted = [item for item in wanted if item.phase != FIRST_POSTDEPLOY]
    phases = (PREDEPLOY, RELEASE) if app.deployed else (PREDEPLOY, RELEASE, FIRST_POSTDEPLOY)
    found = {item.phase for item in wanted}
    missing = [phase for phase in phases if phase not in found] if release.manifest.app_json else []
    if wanted:
        ensure_network(session)
    for item in wanted:
        missing = _say_missing(session, missing, until=item.phase)
        if item.phase == PREDEPLOY:
            image = _run_and_keep(session, app, release, image, item, operation_id)
        else:
            run_command(session, app, release, image, item, operation_id)
    _say_missing(session, missing)
    return image


def run_after(session: Session, app: App, release: Release, operation_id: int) -> None:
    """Run the release's commands for after the switch. Raises AfterFailed; the release serves on."""
    if not release.manifest.after:
        _say_missing(session, [POSTDEPLOY] if release.manifest.app_json else [])
        return
    image = session.images.find(release.image_tag)
    for item in release.manifest.after:
        try:
            if image is None:
                raise PhaseFailed(phase=item.phase, command=item.command, reason="the image is gone")
            run_command(session, app, release, image, item, operation_id)
        except PhaseFailed as error:
            raise AfterFailed(**(error.fields | {"release": release.label, "app": app.name})) from error
        except Cancelled:
            session.console.warn(f"{item.phase} was cut off; the new release {release.label} serves already")
            raise


def _say_missing(session: Session, phases: list[str], until: str = "") -> list[str]:
    """Tell, as Dokku does, which phases app.json has no task for; those of `phases` that come after `until` are left."""
    order = (PREDEPLOY, RELEASE, FIRST_POSTDEPLOY, POSTDEPLOY)
    left = []
    for phase in phases:
        # What is not Dokku's (.aptible.yml's) comes after release.
        if until and order.index(phase) > order.index(until if until in order else RELEASE):
            left.append(phase)
            continue
        session.console.step(f"Checking for {phase} task")
        session.console.detail(f"No {phase} task found, skipping")
    return left


def run_command(
    session: Session, app: App, release: Release, image: Image, item: PhaseCommand, operation_id: int
) -> None:
    """Run one command in a throw-away container of the release's image. Raises PhaseFailed."""
    console, containers = session.console, session.containers
    console.step(f"Checking for {item.phase} task")
    console.detail(f"Executing {item.phase} task from {item.origin} in ephemeral container: {item.command}")
    spec = one_off_spec(
        session,
        app,
        release,
        item.phase,
        _words(session, app, item, image),
        operation_id,
        phase="deploy",
    )
    container = containers.create(spec)
    with _watched(session, app, item, container) as lines:
        code = containers.run_to_end(container, spec.name, lines.feed)
        lines.end()
        oom = containers.state(container).oom_killed
    _judge(item, code, oom)


def _run_and_keep(
    session: Session, app: App, release: Release, image: Image, item: PhaseCommand, operation_id: int
) -> Image:
    """Run a command and make its container the release's image; that image. Raises PhaseFailed.

    The engine would keep a container's environment in an image that is made of it, and config must not be in an image:
    so the container does nothing and has none, and the command runs beside that with it.
    """
    console, containers = session.console, session.containers
    console.step(f"Checking for {item.phase} task")
    console.detail(f"Executing {item.phase} task from {item.origin}: {item.command}")
    words = _words(session, app, item, image)
    spec = one_off_spec(
        session,
        app,
        release,
        item.phase,
        IDLE[1],
        operation_id,
        stdin=True,
        phase="deploy",
    )
    options = without(spec.options, "--env", "--entrypoint")
    idle = replace(spec, environment={}, entrypoint=IDLE[0], options=options)
    environment = spec.environment | parse(spec.options).environment
    container = containers.create(idle)
    with _watched(session, app, item, container) as lines:
        try:
            containers.start(container, item.phase)
        except StartFailed as error:
            reason = str(error.fields["reason"])
            raise PhaseFailed(phase=item.phase, command=item.command, reason=reason) from error
        command = (*image.entrypoint, *words)
        code = run_in(session.api, container, command, environment, lines.feed)
        lines.end()
        state = containers.state(container)
        # Without a shell the container that is to do nothing ends, a moment before or after the command can't be run.
        if code in (None, CAN_NOT_RUN) and containers.wait(container, END_SECONDS) == NOT_FOUND:
            raise PhaseFailed(phase=item.phase, command=item.command, reason="the image has no /bin/sh")
        _judge(item, code, state.oom_killed)
        labels = {key: value if key in (LABEL_APP, LABEL_ROOT) else "" for key, value in spec.labels.items()}
        commit(session.api, container, image.id, release.image_tag, labels)
    found = session.images.find(release.image_tag)
    if found is None:
        raise PhaseFailed(phase=item.phase, command=item.command, reason="its result could not be kept")
    return found


def _words(session: Session, app: App, item: PhaseCommand, image: Image) -> tuple[str, ...]:
    """Aptible's commands run as its processes do; Dokku's in a shell that ends at the first failure."""
    if item.origin == APTIBLE_YML or (image.entrypoint and not _bare_tini(image.entrypoint)):
        return command_words(item.command, image, item.phase)
    script = SCRIPT.format(command=item.command)
    shell = session.properties.computed(app.id, "scheduler", "shell")
    return (shell, "-c", script) if shell else (*ANY_SHELL, script)


def _bare_tini(entrypoint: tuple[str, ...]) -> bool:
    return PurePosixPath(entrypoint[0]).name == "tini" and entrypoint[1:] in ((), ("--",))


@contextmanager
def _watched(session: Session, app: App, item: PhaseCommand, container: str) -> Iterator[_Lines]:
    """Show the task's output, end it when it takes too long, and remove its container."""
    # A container that is killed ends its output and so our waiting.
    timer = threading.Timer(PHASE_SECONDS, _kill, [session, container])
    timer.daemon = True
    title = f"{app.name} {item.phase} task ({container[:9]}) output"
    lines = _Lines(session, title)
    session.console.headline(f"Start of {title}")
    try:
        timer.start()
        with step("phase", item.phase):
            yield lines
    finally:
        timer.cancel()
        remove_own(session, container)


def _kill(session: Session, container: str) -> None:
    # An engine that does not answer is noticed by whoever waits.
    with suppress(PaasError):
        session.containers.kill(container)


def _judge(item: PhaseCommand, code: int | None, oom: bool) -> None:
    if code != 0:
        reason = "it ran out of memory" if oom else f"exit code {code}" if code else "it was killed"
        raise PhaseFailed(phase=item.phase, command=item.command, reason=reason)


class _Lines:
    """Cuts a stream of bytes into indented lines."""

    def __init__(self, session: Session, title: str) -> None:
        self.console = session.console
        self.title = title
        self.rest = b""

    def feed(self, chunk: bytes) -> None:
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        for line in lines:
            self.console.detail(line.decode("utf-8", "replace").rstrip("\r"))

    def end(self) -> None:
        if self.rest:
            self.feed(b"\n")
        self.console.headline(f"End of {self.title}")
