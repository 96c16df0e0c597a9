"""Free space: too little of it is told before a build, a pull or a load begins, not in the middle."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paas.console import size
from paas.deploy.session import Session
from paas.engine.client import DEFAULT_ADDRESS, engine_errors
from paas.errors import PaasError
from paas.store.properties import GLOBAL

USUAL_BYTES = 1_000_000_000
USUAL_SHARE = 5  # percent; of the two, what is less
WORKABLE_BYTES = 1_000_000
UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
MEMORY = "engine-root.json"


class DiskAlmostFull(PaasError):
    """There is too little free space at {path} ({whose}): {free} of {total} are free, {least} have to be. Nothing was changed. Make room (cleanup, docker system df), or lower the limit with disk:set --global min-free SIZE"""


@dataclass(frozen=True)
class Disk:
    """The file system that a folder is on; sizes in bytes. `least` is what has to be free."""

    path: Path
    whose: str
    free: int
    total: int
    least: int

    @property
    def enough(self) -> bool:
        return self.free >= self.least


def ensure_space(session: Session) -> None:
    """Raises DiskAlmostFull where paas or the engine has too little left to begin."""
    for disk in _each(session):
        _refuse(disk, disk.least)


def ensure_any_space(session: Session) -> None:
    """Raises DiskAlmostFull where paas itself can hardly write any more: what git says of that nobody understands."""
    _refuse(disk_of(session.settings.root, "paas"), WORKABLE_BYTES)


def _refuse(disk: Disk, least: int) -> None:
    if disk.free < least:
        raise DiskAlmostFull(
            path=disk.path,
            whose=disk.whose,
            free=size(disk.free),
            total=size(disk.total),
            least=size(least),
        )


def disks(session: Session) -> list[Disk]:
    """What paas and the engine write to; of an engine on another machine nothing is known here."""
    return list(_each(session))


def _each(session: Session) -> Iterator[Disk]:
    limit = session.properties.get(GLOBAL, "disk", "min-free")
    yield disk_of(session.settings.root, "paas", limit)
    root = engine_root(session)
    if root is not None:
        yield disk_of(root, "the Docker Engine", limit)


def disk_of(path: Path, whose: str, limit: str = "") -> Disk:
    """Look at the file system below a path. `limit` as disk:set takes it; empty means the usual one."""
    stat = os.statvfs(path)
    total = stat.f_blocks * stat.f_frsize
    return Disk(path, whose, stat.f_bavail * stat.f_frsize, total, least(limit, total))


def least(limit: str, total: int) -> int:
    """How many bytes of `total` have to be free."""
    if not limit:
        return min(USUAL_BYTES, total * USUAL_SHARE // 100)
    if limit.endswith("%"):
        return total * int(limit[:-1]) // 100
    return int(limit.rstrip("kmgt")) * UNITS.get(limit[-1], 1)


def engine_root(session: Session) -> Path | None:
    """The engine's data folder where it is on this machine; asked for once in the life of an engine."""
    address = session.settings.docker_host or DEFAULT_ADDRESS
    if not address.startswith("unix://"):
        return None
    try:
        socket = Path(address.removeprefix("unix://")).stat()
    except OSError:
        return None
    # An engine that was started anew has made its socket anew.
    key = [address, socket.st_ino, socket.st_ctime_ns]
    memory = session.settings.run_dir / MEMORY
    try:
        known = json.loads(memory.read_text())
        root = Path(known["root"]) if known["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        root = None
    if root is None:
        with engine_errors(address):
            root = Path(session.api.info()["DockerRootDir"])
        _remember(memory, {"key": key, "root": str(root)})
    # Of other users' folders the nearest one that we may look at is on the same disk, as a rule.
    while not os.access(root, os.X_OK) and root != root.parent:
        root = root.parent
    return root


def _remember(memory: Path, known: dict[str, object]) -> None:
    draft = memory.with_name(f".{memory.name}.{os.getpid()}")
    # On a full disk it is asked for again the next time.
    with contextlib.suppress(OSError):
        draft.write_text(json.dumps(known))
        draft.replace(memory)
    draft.unlink(missing_ok=True)
