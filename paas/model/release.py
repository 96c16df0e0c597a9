"""What runs: process types with their commands, how they are checked, and the release that fixes all of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from paas.model.cron import CronTask
from paas.model.names import ProcessType

WEB = ProcessType("web")
DEFAULT_PORT = 5000
# The phases that Dokku knows: in the new image and kept in it, before a release, before an app's first, after a switch.
PREDEPLOY, RELEASE, FIRST_POSTDEPLOY, POSTDEPLOY = "predeploy", "release", "heroku.postdeploy", "postdeploy"

Formation = dict[ProcessType, int]
CheckKind = Literal["startup", "readiness", "liveness"]


@dataclass(frozen=True)
class Check:
    """One check of a process type; exactly one of `path`, `command`, `listening`, `uptime` is set.

    Only those of `kind` startup run, before new processes serve. `timeout`, `wait` and `initial_delay` in seconds;
    `uptime` in seconds; `attempts` at least 1.
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
    scheme: str = "http"
    kind: CheckKind = "startup"


@dataclass(frozen=True)
class PhaseCommand:
    """A command of the release phase: which `phase` asked for it, in which file, and the command line."""

    phase: str
    origin: str
    command: str


@dataclass(frozen=True)
class Variable:
    """A variable of app.json's `env`: `value` None where it says none, `generate` for a random secret instead.

    `required`: a deploy fails while it has no value. `sync`: set on every deploy, not only the first one.
    """

    name: str
    value: str | None = None
    required: bool = True
    generate: bool = False
    sync: bool = False


@dataclass(frozen=True)
class Manifest:
    """What Procfile, .aptible.yml, app.json and the image say about an app.

    `processes` maps each type to its command line, None for the image's own CMD. `port` is where web listens.
    `before` are the commands of the release phase, `hooks` those after a deploy, restart, configure or scale
    (``after_deploy_success``: …). `implicit`: there is no Procfile; the one type is web, which Aptible calls cmd.
    `cron` are the tasks that the agent starts at their times. From app.json come `after`, the commands to run after
    the switch, `env`, `formation`, which leaves no counts to be chosen by ps:scale unless it is empty, and
    `max_parallel`, how many processes of a type start at once; `app_json` says whether there was one.
    """

    processes: dict[ProcessType, str | None]
    port: int = DEFAULT_PORT
    before: tuple[PhaseCommand, ...] = ()
    checks: dict[ProcessType, tuple[Check, ...]] = field(default_factory=dict)
    hooks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    implicit: bool = False
    cron: tuple[CronTask, ...] = ()
    after: tuple[PhaseCommand, ...] = ()
    env: tuple[Variable, ...] = ()
    formation: Formation = field(default_factory=dict)
    max_parallel: dict[ProcessType, int] = field(default_factory=dict)
    app_json: bool = False

    def startup_checks(self, process_type: str) -> tuple[Check, ...]:
        """What new processes of a type have to pass."""
        checks = self.checks.get(ProcessType(process_type), ())
        return tuple(item for item in checks if item.kind == "startup")

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
            after=tuple(PhaseCommand(**item) for item in data.get("after", ())),
            env=tuple(Variable(**item) for item in data.get("env", ())),
            formation={ProcessType(k): v for k, v in data.get("formation", {}).items()},
            max_parallel={ProcessType(k): v for k, v in data.get("max_parallel", {}).items()},
            app_json=data.get("app_json", False),
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
    """One container of a process type, and where the router reaches it, unless it is `down`: ended, and not started
    again yet."""

    container_id: str
    app_id: int
    release: int
    process_type: ProcessType
    number: int
    address: str
    port: int
    down: bool = False

    @property
    def name(self) -> str:
        return f"{self.process_type}.{self.number}"

    @property
    def server(self) -> str:
        """Its name in the router: another one for every container."""
        return f"{self.name}.{self.container_id[:12]}"
