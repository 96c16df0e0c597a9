"""Commands in throw-away containers: a release's before-commands and the after-hooks."""

from __future__ import annotations

import threading

from paas.deploy.process import command_words, ensure_network, one_off_spec
from paas.deploy.session import Session
from paas.engine.images import Image
from paas.errors import PaasError
from paas.model.release import PhaseCommand, Release
from paas.store.apps import App

PHASE_SECONDS = 30 * 60


class PhaseFailed(PaasError):
    """Execution of {phase} task failed: {command} ({reason}). Nothing was changed; the release that served before still does"""

    @property
    def short(self) -> str:
        """Without what stayed as it was, for commands that change nothing by failing."""
        return str(self).partition(". Nothing")[0]


def run_before(session: Session, app: App, release: Release, image: Image, operation_id: int) -> None:
    """Run the release's before-commands one after the other, each in a throw-away container of the new image.

    Raises PhaseFailed at the first that does not exit with 0; the rest is not run.
    """
    if release.manifest.before:
        ensure_network(session)
    for command in release.manifest.before:
        run_command(session, app, release, image, command, operation_id)


def run_command(
    session: Session, app: App, release: Release, image: Image, item: PhaseCommand, operation_id: int
) -> None:
    console, containers = session.console, session.containers
    console.step(f"Checking for {item.phase} task")
    console.detail(f"Executing {item.phase} task from {item.origin} in ephemeral container: {item.command}")
    spec = one_off_spec(
        session,
        app,
        release.image_tag,
        image,
        release.config,
        release.commit,
        item.phase,
        command_words(item.command, image, item.phase),
        operation_id,
    )
    container = containers.create(spec)
    # A container that is killed ends its output and so our waiting.
    timer = threading.Timer(PHASE_SECONDS, containers.kill, [container])
    timer.daemon = True
    title = f"{app.name} {item.phase} task ({container[:9]}) output"
    console.headline(f"Start of {title}")
    lines = _Lines(session)
    try:
        timer.start()
        code = containers.run_to_end(container, spec.name, lines.feed)
        lines.end()
        oom = containers.state(container).oom_killed
    finally:
        timer.cancel()
        containers.remove(container)
    console.headline(f"End of {title}")
    if code:
        reason = "it ran out of memory" if oom else f"exit code {code}"
        raise PhaseFailed(phase=item.phase, command=item.command, reason=reason)


class _Lines:
    """Cuts a stream of bytes into indented lines."""

    def __init__(self, session: Session) -> None:
        self.console = session.console
        self.rest = b""

    def feed(self, chunk: bytes) -> None:
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        for line in lines:
            self.console.detail(line.decode("utf-8", "replace").rstrip("\r"))

    def end(self) -> None:
        if self.rest:
            self.feed(b"\n")
