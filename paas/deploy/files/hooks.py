"""`.aptible.yml`'s after_* commands: what runs once a deploy, restart, configure or scale has succeeded or failed.

Success commands run in the new image, failure commands in the image, with the config and from the definitions, of the
release that served before. Neither changes how the operation ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from paas.deploy.phase import PhaseFailed, run_command
from paas.deploy.session import Session
from paas.errors import Cancelled, PaasError
from paas.model.release import PhaseCommand, Release
from paas.store.apps import App

ORIGIN = ".aptible.yml"


@contextlib.contextmanager
def lifecycle(session: Session, app: App, what: str, operation_id: int) -> Iterator[None]:
    """Run the block, then the commands for how it ended. `what`: deploy, restart, configure or scale."""
    before = session.releases.find(app.id, app.current_release)
    try:
        yield
    except (PaasError, Cancelled):
        if before:
            _run(session, app, before, f"after_{what}_failure", operation_id)
        raise
    current = session.apps.by_id(app.id)
    after = session.releases.find(app.id, current.current_release) if current else None
    if after:
        _run(session, app, after, f"after_{what}_success", operation_id)


def _run(session: Session, app: App, release: Release, hook: str, operation_id: int) -> None:
    commands = release.manifest.hooks.get(hook, ())
    if not commands:
        return
    try:
        image = session.images.find(release.image_tag)
        if image is None:
            return
        for command in commands:
            run_command(session, app, release, image, PhaseCommand(hook, ORIGIN, command), operation_id)
    except PhaseFailed as error:
        session.console.warn(f"{error.short}; the rest of {hook} was not run")
    except PaasError as error:
        session.console.warn(f"{hook} was not run: {error}")
