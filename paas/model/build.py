"""Builds: the operations that bring something new into service, as Dokku's `builds:*` commands tell them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from paas.model.operation import Operation

Kind = Literal["build", "deploy"]
Status = Literal["running", "succeeded", "failed", "canceled"]

BUILD: Kind = "build"
DEPLOY: Kind = "deploy"
KINDS = (BUILD, DEPLOY)
STATUSES = ("running", "succeeded", "failed", "canceled")
# What makes an image, and what only puts one into service again; any other operation with a release is a deploy too.
BUILDING = (
    "git-push",
    "git:from-image",
    "git:load-image",
    "git:from-archive",
    "git:sync",
    "ps:rebuild",
    "rebuild",
    "deploy",
)
DEPLOYING = ("ps:restart", "restart", "ps:start", "ps:scale", "releases:rollback", "restore")
SOURCES = {"git-push": "git-hook", "rebuild": "ps:rebuild", "restart": "ps:restart"}
EXIT_CODES = {"succeeded": 0, "failed": 1, "canceled": 130}
ABANDONED = "abandoned"


@dataclass(frozen=True)
class Build:
    """One build. `started_at` and `finished_at` in epoch seconds; `display_status` tells more than `status`: queued,
    or abandoned (its process was killed and nobody has undone yet what it began)."""

    id: str
    app: str
    kind: Kind
    pid: int
    source: str
    started_at: float
    finished_at: float | None
    status: Status
    display_status: str
    log_path: str

    @property
    def exit_code(self) -> int | None:
        """What its command exited with, None while it runs."""
        return EXIT_CODES.get(self.status)

    def seconds(self, now: float) -> float:
        return max(0.0, (self.finished_at or now) - self.started_at)

    def to_json(self, now: float) -> dict[str, Any]:
        return {
            "id": self.id,
            "app": self.app,
            "kind": self.kind,
            "pid": self.pid,
            "started_at": moment(self.started_at),
            "finished_at": moment(self.finished_at),
            "status": self.status,
            "source": self.source,
            "exit_code": self.exit_code,
            "display_status": self.display_status,
            "duration": duration(self.seconds(now)),
            "log_path": self.log_path,
        }


def build_of(operation: Operation, alive: bool, log_path: str) -> Build:
    """An operation as a build; `alive`: its process exists."""
    status: Status = "running"
    shown: str = operation.status
    if operation.status == "cancelled":
        status = shown = "canceled"
    elif not operation.open:
        status = "succeeded" if operation.status == "succeeded" else "failed"
    elif not alive:
        status, shown = "failed", ABANDONED
    return Build(
        id=str(operation.id),
        app=operation.app_name or "",
        kind=BUILD if operation.kind in BUILDING else DEPLOY,
        pid=operation.pid,
        source=_source(operation.kind),
        started_at=operation.started_at or operation.created_at,
        finished_at=operation.finished_at,
        status=status,
        display_status=shown,
        log_path=log_path,
    )


def flags(build: Build | None) -> dict[str, str]:
    """As builds:info and builds:report print it; empty values where there is no build."""
    values = build.to_json(0) if build else {}
    names = ("id", "kind", "status", "pid", "source", "started_at", "finished_at", "exit_code")
    return {f"--build-{name.replace('_', '-')}": _text(values.get(name)) for name in names}


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _source(kind: str) -> str:
    return "config-redeploy" if kind.startswith("config:") else SOURCES.get(kind, kind)


def moment(at: float | None) -> str | None:
    """RFC 3339, in UTC, to the second."""
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: float) -> str:
    """``1h2m3s``, without leading parts that are zero."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{hours}h" if hours else ""
    text += f"{minutes}m" if hours or minutes else ""
    return f"{text}{rest}s"
