"""What runs: process types with their commands, how they are checked, and the release that fixes all of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from paas.model.cron import CronTask
from paas.model.names import ProcessType

WEB = ProcessType("web")
DEFAULT_PORT = 5000

Formation = dict[ProcessType, int]


@dataclass(frozen=True)
class Check:
    """One startup check of a process type; exactly one of `path`, `command`, `listening`, `uptime` is set.

    `timeout`, `wait` and `initial_delay` in seconds; `uptime` in seconds; `attempts` at least 1.
    """

    name: str
    path: str | None = None
    port: int | None = None
    content: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    listening: bool = False
    uptime: int | None = None
    attempts: int = 3
    timeout: float = 5
    wait: float = 5
    initial_delay: float = 0
    warn_only: bool = False


@dataclass(frozen=True)
class PhaseCommand:
    """A command of the release phase: which `phase` asked for it, in which file, and the command line."""

    phase: str
    origin: str
    command: str


@dataclass(frozen=True)
class Manifest:
    """What Procfile, .aptible.yml, app.json and the image say about an app.

    `processes` maps each type to its command line, None for the image's own CMD. `port` is where web listens.
    `before` are the commands of the release phase, `hooks` those after a deploy, restart, configure or scale
    (``after_deploy_success``: …). `implicit`: there is no Procfile; the one type is web, which Aptible calls cmd.
    `cron` are the tasks that the agent starts at their times.
    """

    processes: dict[ProcessType, str | None]
    port: int = DEFAULT_PORT
    before: tuple[PhaseCommand, ...] = ()
    checks: dict[ProcessType, tuple[Check, ...]] = field(default_factory=dict)
    hooks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    implicit: bool = False
    cron: tuple[CronTask, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        data: dict[str, Any] = json.loads(text)
        return cls(
            processes={ProcessType(k): v for k, v in data["processes"].items()},
            port=data["port"],
            before=tuple(PhaseCommand(**item) for item in data["before"]),
            checks={
                ProcessType(k): tuple(_check(item) for item in items) for k, items in data["checks"].items()
            },
            hooks={name: tuple(commands) for name, commands in data["hooks"].items()},
            implicit=data["implicit"],
            cron=tuple(CronTask(**item) for item in data.get("cron", ())),
        )


def _check(item: dict[str, Any]) -> Check:
    item["headers"] = tuple((name, value) for name, value in item["headers"])
    item["command"] = tuple(item["command"])
    return Check(**item)


ReleaseStatus = Literal["pending", "succeeded", "failed"]


@dataclass(frozen=True)
class Release:
    """A numbered, immutable combination of image, config and manifest.

    `image_tag` keeps the image on the engine; `image_name` is what the user called it (None for builds);
    `created_at` in epoch seconds.
    """

    app_id: int
    number: int
    status: ReleaseStatus
    operation_id: int
    created_at: int
    description: str
    commit: str | None
    image_name: str | None
    image_id: str
    image_tag: str
    config: dict[str, str]
    manifest: Manifest
    formation: Formation

    @property
    def label(self) -> str:
        return f"r{self.number}"


@dataclass(frozen=True)
class Process:
    """One container of a process type, and where the router reaches it."""

    container_id: str
    app_id: int
    release: int
    process_type: ProcessType
    number: int
    address: str
    port: int

    @property
    def name(self) -> str:
        return f"{self.process_type}.{self.number}"

    @property
    def server(self) -> str:
        """Its name in the router: another one for every container."""
        return f"{self.name}.{self.container_id[:12]}"
