"""The containers of `run` and `run:detached`: how they are marked, which there are, and when they go.

A detached one is removed some minutes after its end, so that its log can still be read, or when its time is over; an
attached one by its own command. What a killed command leaves behind is removed by the agent.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import datetime

from paas.deploy.session import Session
from paas.engine.containers import LABEL_APP, LABEL_ROOT, LABEL_TYPE
from paas.errors import PaasError
from paas.model.names import printable
from paas.store.apps import App
from paas.store.operations import process_start

RUN = "run"
ATTACHED = "attached"
DETACHED = "detached"
LABEL_RUN = "paas.run"
LABEL_EXPIRES = "paas.expires"
LABEL_OWNER = "paas.owner"

KEPT_AFTER_END_SECONDS = 600.0


class NoSuchRunContainer(PaasError):
    """There is no run container {name}. See the list with run:list APP"""


@dataclass(frozen=True)
class RunContainer:
    """One of them as the engine lists it; `state` is Docker's word, times are epoch seconds, `expires` None: never.

    `orphan`: the command that made it is gone.
    """

    id: str
    name: str
    app: str
    state: str
    command: str
    created: int
    attached: bool
    expires: float | None
    orphan: bool

    @property
    def log_name(self) -> str:
        """What its log lines are marked with: ``run.ab12cd``."""
        return self.name.removeprefix(f"{self.app}.")


def owner_label() -> dict[str, str]:
    """What marks a container as this process's own, to be removed with it."""
    pid = os.getpid()
    return {LABEL_OWNER: f"{pid}:{process_start(pid)}"}


def is_orphan(labels: dict[str, str]) -> bool:
    """Whether the process that owns a container is gone."""
    pid, _, started = labels[LABEL_OWNER].partition(":")
    return process_start(int(pid)) != started


def run_labels(kind: str, ttl_seconds: int | None) -> dict[str, str]:
    """What marks a container as one of a run that this process makes."""
    found = {LABEL_RUN: kind} | owner_label()
    if ttl_seconds is not None:
        found[LABEL_EXPIRES] = str(int(time.time()) + ttl_seconds)
    return found


def run_containers(session: Session, app: App | None = None) -> list[RunContainer]:
    """Those of an app or of all, the oldest first."""
    labels = {LABEL_ROOT: str(session.settings.root), LABEL_TYPE: RUN}
    if app is not None:
        labels[LABEL_APP] = str(app.name)
    found = []
    for item in session.containers.listed(labels):
        marks = item["Labels"]
        if LABEL_RUN not in marks:
            continue
        expires = marks.get(LABEL_EXPIRES)
        found.append(
            RunContainer(
                id=item["Id"],
                name=item["Names"][0].removeprefix("/"),
                app=marks[LABEL_APP],
                state=item["State"],
                command=item["Command"],
                created=item["Created"],
                attached=marks[LABEL_RUN] == ATTACHED,
                expires=float(expires) if expires else None,
                orphan=is_orphan(marks),
            )
        )
    return sorted(found, key=lambda item: item.created)


def run_container(session: Session, name: str) -> RunContainer:
    """The one with a name or an id. Raises NoSuchRunContainer."""
    for item in run_containers(session):
        if name == item.name or (len(name) >= 12 and item.id.startswith(name)):
            return item
    raise NoSuchRunContainer(name=printable(name))


def stop(session: Session, item: RunContainer) -> None:
    """SIGTERM, then SIGKILL, and away with it."""
    session.containers.stop(item.id)
    session.containers.remove(item.id)


def sweep(
    session: Session, app: App | None = None, keep_seconds: float = KEPT_AFTER_END_SECONDS
) -> float | None:
    """Remove what has ended for `keep_seconds`, what is out of time, and what a killed command left behind.

    Returns the seconds until something will be due, None where nothing will.
    """
    now = time.time()
    dues = []
    for item in run_containers(session, app):
        due = _due(session, item, keep_seconds)
        if due is not None and due <= now:
            session.containers.remove(item.id)
        elif due is not None:
            dues.append(due - now)
    return min(dues, default=None)


def _due(session: Session, item: RunContainer, keep_seconds: float) -> float | None:
    """When it is to be removed (epoch seconds), as far as that is known."""
    if item.orphan and (item.attached or item.state == "created"):
        return 0
    if item.attached or item.state not in ("exited", "dead"):
        return item.expires
    if session.containers.find(item.id) is None:
        return None
    finished = session.containers.inspect(item.id)["State"]["FinishedAt"]
    ended = datetime.fromisoformat(finished[:19] + "+00:00").timestamp()
    return min(ended + keep_seconds, item.expires or float("inf"))
