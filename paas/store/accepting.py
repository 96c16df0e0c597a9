"""What a push or a commit of ours brings, and its end: kept before the ref is accepted, so that one that was killed in between
can be finished."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from dulwich.object_store import DiskObjectStore
from dulwich.objects import ObjectID

from paas.store.repositories import Repository

# A pack without its index is none, so that comes last. Git's own mark for what is just coming in (.keep) stays behind.
ORDER = {".pack": 0, ".rev": 1, "": 1, ".idx": 2}


def keep_incoming(repository: Repository) -> None:
    """Below a push's hook or with a draft: let its objects be the repository's, whatever becomes of us. Git does so itself at
    the end of a push, and takes no offence."""
    quarantine = os.environ.get("GIT_QUARANTINE_PATH")
    if not quarantine:
        return
    objects = repository.path / "objects"
    packed = DiskObjectStore(str(objects))
    found = [path for path in Path(quarantine).rglob("*") if path.is_file() and path.suffix in ORDER]
    for path in sorted(found, key=lambda path: ORDER[path.suffix]):
        target = objects / path.relative_to(quarantine)
        if not path.suffix and packed.contains_packed(ObjectID(f"{path.parent.name}{path.name}".encode())):
            continue
        target.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            target.hardlink_to(path)
    packed.close()


@contextlib.contextmanager
def nobody_pushes(repository: Repository) -> Iterator[bool]:
    """Whether no push is under way; none begins in the block then. False where there is no repository."""
    try:
        descriptor = os.open(repository.path / "objects", os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)
