"""What operations and commands that are over have left on the engine: the command was killed, or the engine went away before
it could be removed."""

from __future__ import annotations

import contextlib

from paas import interrupts
from paas.deploy.containers.run_containers import LABEL_OWNER, LABEL_RUN, is_orphan
from paas.deploy.session import Session
from paas.deploy.upkeep.agent_mail import CLEAN, REMOVE, tell_agent
from paas.engine.containers import LABEL_OPERATION, LABEL_ROOT
from paas.errors import EngineUnavailable, PaasError
from paas.store.locks import app_lock


def remove_own(session: Session, container: str) -> None:
    """At a command's end, whatever it ends by: remove the container that was made for it. Where the engine does not answer,
    the agent does it as soon as it does."""
    with interrupts.shielded():
        try:
            session.containers.remove(container)
        except EngineUnavailable:
            tell_agent(session.settings, CLEAN)


def have_removed(session: Session, container: str) -> None:
    """Remove a container that is marked as this process's own, without waiting for it where an agent runs."""
    if not tell_agent(session.settings, f"{REMOVE} {container}"):
        # Where that fails, the mark tells whoever cleans up.
        with contextlib.suppress(PaasError):
            session.containers.remove(container)


def clean(session: Session) -> None:
    """Remove containers that neither serve nor wait for their end, and images of deploys that came to nothing. Raises
    EngineUnavailable."""
    _clean_containers(session)
    _clean_images(session)


def _clean_containers(session: Session) -> None:
    found = session.containers.listed({LABEL_ROOT: str(session.settings.root)})
    for item in found:
        if LABEL_OWNER in item["Labels"] and LABEL_RUN not in item["Labels"] and is_orphan(item["Labels"]):
            session.containers.remove(item["Id"])
    marked = {item["Id"]: item["Labels"].get(LABEL_OPERATION) for item in found}
    # After the list, and in this order: a deploy that is under way records its processes before it ends.
    over = {operation for operation in set(marked.values()) if operation and _is_over(session, int(operation))}
    known = {item.container_id for item in session.releases.all_processes()}
    known |= {item.container_id for item in session.releases.retirements()}
    for container, operation in marked.items():
        if operation in over and container not in known:
            session.containers.remove(container)


def _is_over(session: Session, operation_id: int) -> bool:
    # One that is not recorded here may be in the newer database that somebody has yet to put back.
    found = session.operations.find(operation_id)
    return found is not None and not found.open


def _clean_images(session: Session) -> None:
    """Names of images that belong to no release of their app, or to a failed one only."""
    prefix = f"paas-{session.settings.root_id}/"
    found = [name for name in session.images.names() if name.startswith(prefix)]
    for name in set(found) - session.releases.kept_images():
        app = session.apps.find(name.removeprefix(prefix).rpartition(":")[0])
        if app is None:
            continue
        lock = app_lock(session.settings, app.id)
        try:
            # A deploy that is under way names its image before it records its release.
            if lock.try_acquire() and name not in session.releases.kept_images():
                session.images.untag(name)
        finally:
            lock.release()
