"""One lock per app: a kernel flock held by the command process, so a killed process leaves none behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from paas.settings import Settings


class FileLock:
    """An exclusive flock. It belongs to the open file description: a child that is forked holds it too, and it ends with
    the last of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def try_acquire(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def acquire(self) -> None:
        """Wait in the kernel until the lock is ours."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def release(self) -> None:
        os.close(self.descriptor)


def app_lock(settings: Settings, app_id: int) -> FileLock:
    return FileLock(settings.locks_dir / f"app-{app_id}")


@contextlib.contextmanager
def held(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock for a block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        if not lock.try_acquire():
            if on_wait:
                on_wait()
            lock.acquire()
        yield
    finally:
        lock.release()
