"""What a push brings, while it is in quarantine: the lock of its folder, and how much it is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from paas.errors import PaasError
from paas.store.repositories import Repository

QUARANTINES = "tmp_objdir-incoming-*"
INDEX_HEADER_BYTES = 8
COUNT_BYTES = 4
COUNTS = 256
# Of a commit, a tag or a folder's list: they are read whole.
MAX_RECORD_BYTES = 16 << 20


class TooManyObjects(PaasError):
    """The push has {count} objects, more than the {limit} that {app} takes. Nothing was changed. Push less of its history (a clone with --depth can't be pushed; a new branch with one commit can), or raise the limit: git:set {app} push-max-objects N"""


class ObjectTooLarge(PaasError):
    """The push has a {kind} of {size} bytes ({name}), more than {limit}. Nothing was changed. Mend the history that has it"""


@contextlib.contextmanager
def receiving(repository: Path) -> Iterator[int]:
    """For the time of a push: a descriptor that git has to inherit.

    A git that a signal ends leaves its quarantine behind; it goes as soon as nobody pushes.
    """
    objects = repository / "objects"
    descriptor = os.open(objects, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _sweep(objects, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        try:
            yield descriptor
        finally:
            _sweep(objects, descriptor)
    finally:
        os.close(descriptor)


def sweep(repository: Path) -> None:
    """Remove what killed pushes left, unless one is under way."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(repository / "objects", os.O_RDONLY | os.O_DIRECTORY)
        try:
            _sweep(repository / "objects", descriptor)
        finally:
            os.close(descriptor)


def _sweep(objects: Path, descriptor: int) -> None:
    """Remove quarantines, unless a push holds the lock."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for left in objects.glob(QUARANTINES):
            shutil.rmtree(left, ignore_errors=True)


def check_incoming(repository: Repository, app: str, limit: int) -> None:
    """Look at what is in this push's quarantine; nothing to do outside of a hook of the repository.

    Raises TooManyObjects and ObjectTooLarge.
    """
    quarantine = os.environ.get("GIT_QUARANTINE_PATH")
    if quarantine is None or not repository.path.is_dir():
        return
    count = _count(Path(quarantine))
    if count > limit:
        raise TooManyObjects(count=count, limit=limit, app=app)
    for kind, size, name in _objects(repository, quarantine):
        if kind != "blob" and size > MAX_RECORD_BYTES:
            raise ObjectTooLarge(kind=kind, size=size, name=name, limit=MAX_RECORD_BYTES)


def _count(quarantine: Path) -> int:
    """How many objects there are, by what the indexes of packs and the folders say."""
    found = sum(1 for path in quarantine.glob("[0-9a-f][0-9a-f]/*"))
    for path in quarantine.glob("pack/*.idx"):
        with path.open("rb") as file:
            file.seek(INDEX_HEADER_BYTES + (COUNTS - 1) * COUNT_BYTES)
            found += int.from_bytes(file.read(COUNT_BYTES), "big")
    return found


def _objects(repository: Repository, quarantine: str) -> Iterator[tuple[str, int, str]]:
    """Kind, size in bytes and id of each, none of them unpacked. Raises GitFailed."""
    alone = {name: value for name, value in repository.environment().items() if "OBJECT_DIRECTOR" not in name}
    words = ["cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objecttype) %(objectsize) %(objectname)"]
    for line in repository.lines(*words, environment=alone | {"GIT_OBJECT_DIRECTORY": quarantine}):
        kind, size, name = line.decode().split()
        yield kind, int(size), name
