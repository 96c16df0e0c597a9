"""What is set for one process type of an app: how it is replaced, stopped, and how much memory it gets.

Kept as properties: ``service`` for Aptible's services:settings, ``resource`` for the memory limit that Dokku knows too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from paas.deploy.containers import resources
from paas.deploy.routing.checks import State, state_of
from paas.deploy.session import Session
from paas.errors import PaasError
from paas.model.names import ProcessType, printable, whole_number
from paas.model.release import WEB, Manifest
from paas.store.apps import App

CMD = "cmd"
MAX_STOP_SECONDS = 900
MIN_SIZE_MB = 16
MAX_SIZE_MB = 1024 * 1024
DEFAULT_SIZE_MB = 1024  # what Aptible says of a container nobody has set a size for; paas does not limit it


class InvalidSize(PaasError):
    """Invalid container size: {given}. Give megabytes, from 16 to 1048576. Nothing was changed"""


class InvalidStopTimeout(PaasError):
    """Invalid stop timeout: {given}. Give seconds, from 0 to 900. Nothing was changed"""


def service_name(manifest: Manifest, kind: ProcessType) -> str:
    """What Aptible calls a process type: ``cmd`` where there is no Procfile."""
    return CMD if manifest.implicit else kind


@dataclass(frozen=True)
class ServiceSettings:
    """Of one process type; `stop_seconds` between SIGTERM and SIGKILL, `memory_mb` None for no limit.

    `zero_downtime`: new processes are started before the old ones stop, as web's are unless checks:disable was said.
    `checks`: whether new processes are checked before they serve (see checks.py).
    """

    zero_downtime: bool
    simple_health_check: bool
    stop_seconds: int
    memory_mb: int | None
    checks: State = "enabled"


def service_settings(session: Session, app_id: int, kind: ProcessType | str) -> ServiceSettings:
    """Read them; what is not set has its default."""
    get = session.properties.get
    stop = get(app_id, "service", f"{kind}.stop-timeout") or session.properties.computed(
        app_id, "ps", "stop-timeout-seconds"
    )
    checks = state_of(session, app_id, kind)
    overlaps = kind == WEB or get(app_id, "service", f"{kind}.force-zero-downtime") == "true"
    return ServiceSettings(
        zero_downtime=overlaps and checks != "disabled",
        simple_health_check=get(app_id, "service", f"{kind}.simple-health-check") == "true",
        stop_seconds=int(stop),
        memory_mb=resources.memory_mb(session, app_id, kind),
        checks=checks,
    )


def set_flag(session: Session, app_id: int, kind: ProcessType, name: str, value: bool) -> None:
    """Store a yes or no."""
    session.properties.set(app_id, "service", f"{kind}.{name}", "true" if value else "")


def set_stop_timeout(session: Session, app_id: int, kind: ProcessType, text: str) -> None:
    """Raises InvalidStopTimeout."""
    if whole_number(text, 0, MAX_STOP_SECONDS) is None:
        raise InvalidStopTimeout(given=printable(text))
    session.properties.set(app_id, "service", f"{kind}.stop-timeout", text)


def parse_size(text: str) -> int:
    """Megabytes. Raises InvalidSize."""
    size = whole_number(text, MIN_SIZE_MB, MAX_SIZE_MB)
    if size is None:
        raise InvalidSize(given=printable(text))
    return size


def set_size(session: Session, app_id: int, kind: ProcessType | str, megabytes: int | None) -> None:
    """Store the memory limit; None removes it."""
    session.properties.set(app_id, resources.NAMESPACE, _size_key(kind), str(megabytes or ""))


def _size_key(kind: str) -> str:
    return f"{kind}.limit.memory"


@contextlib.contextmanager
def sized(session: Session, app: App, kinds: Iterable[ProcessType], megabytes: int | None) -> Iterator[None]:
    """Give these types a memory limit for good, but put the old ones back when the block fails."""
    get = session.properties.get
    before = {kind: get(app.id, resources.NAMESPACE, _size_key(kind)) for kind in kinds} if megabytes else {}
    for kind in before:
        set_size(session, app.id, kind, megabytes)
    try:
        yield
    except BaseException:
        for kind, size in before.items():
            session.properties.set(app.id, resources.NAMESPACE, _size_key(kind), size)
        raise
