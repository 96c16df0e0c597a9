"""apps:lock — while it is set, nothing is deployed to the app. Config, scale and restarts go on."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from paas.deploy.session import Session
from paas.errors import PaasError
from paas.store.apps import App
from paas.store.operations import alive

# Operations that put other code in place; with them everything whose name begins with git:.
DEPLOYS = ("deploy", "git-push", "ps:rebuild", "rebuild", "releases:rollback", "apps:clone")


class DeployLocked(PaasError):
    """{app} currently has a deploy lock in place. Exiting...
    Run 'apps:unlock' to release the existing deploy lock
    Locked by {by} since {since}. Nothing was changed"""


class NoDeployLock(PaasError):
    """Deploy lock does not exist"""


class NotUnlocked(PaasError):
    """Unable to remove deploy lock"""


@dataclass(frozen=True)
class DeployLock:
    """Who set it, and when (epoch seconds)."""

    by: str
    since: int


def find(session: Session, app: App) -> DeployLock | None:
    stored = session.properties.get(app.id, "app", "lock")
    return DeployLock(**json.loads(stored)) if stored else None


def lock(session: Session, app: App) -> None:
    """Set it; one that is set already stays whose it was."""
    if find(session, app) is None:
        made = DeployLock(session.caller.name, int(time.time()))
        session.properties.set(app.id, "app", "lock", json.dumps(asdict(made)))


def unlock(session: Session, app: App) -> None:
    """Raises NotUnlocked where there is none: a deploy in progress is not stopped by this."""
    if find(session, app) is None:
        raise NotUnlocked()
    session.properties.set(app.id, "app", "lock", "")


def locked(session: Session, app: App) -> bool:
    """Whether a deploy that begins now has to wait or is refused: by a lock, or by one in progress."""
    return find(session, app) is not None or any(
        (record.kind in DEPLOYS or record.kind.startswith("git:"))
        and record.status == "running"
        and alive(record)
        for record in session.operations.open(app.id)
    )


def refuse_locked(session: Session, app: App) -> None:
    """Every deploy asks here before it begins. Raises DeployLocked."""
    found = find(session, app)
    if found:
        since = datetime.fromtimestamp(found.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        raise DeployLocked(app=app.name, by=found.by, since=since)
