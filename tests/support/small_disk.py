"""A small file system of its own, in a file that is mounted; it can be filled to the last byte."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from support.server import run

STEP = 1024 * 1024


class SmallDisk:
    """A mounted file system at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, leave: int = 0) -> None:
        """Take all that is free, but for `leave` bytes."""
        with self._filler.open("ab", buffering=0) as file:
            step = STEP
            while step >= 1:
                free = os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_frsize
                try:
                    if free - step < leave:
                        raise OSError
                    file.write(bytes(step))
                except OSError:
                    step //= 2
            os.fsync(file.fileno())

    def free(self) -> None:
        """Give it back."""
        self._filler.unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(image: Path, mounted_at: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Make and mount one; needs root."""
    mounted_at.mkdir(parents=True, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(megabytes * 1024 * 1024)
    # No blocks kept back for root, as we are root.
    run(["mkfs.ext4", "-q", "-m", "0", "-F", str(image)]).ok()
    run(["mount", "-o", "loop", str(image), str(mounted_at)]).ok()
    try:
        yield SmallDisk(mounted_at)
    finally:
        # What still has a file open there goes with its server; the mount itself goes now.
        run(["umount", "--lazy", str(mounted_at)])
        image.unlink(missing_ok=True)
