"""A commit of our own in the making: its objects are beside the app's repository, as git keeps a push's in quarantine, and
are the repository's only when its deploy succeeds."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dulwich.index import commit_tree
from dulwich.object_store import DiskObjectStore
from dulwich.objects import Commit, ObjectID

from paas.store.repositories import Repository

# Most of what archives hold is compressed already, or small.
COMPRESSION = 1


class WrongSize(ValueError):
    """What came is not as long as was said."""


class Draft:
    """Objects are written here, and one commit of them. The one that holds the app's lock has it."""

    def __init__(self, repository: Repository) -> None:
        self.folder: Path = repository.draft
        self.folder.mkdir()
        self.store = DiskObjectStore(str(self.folder))
        # What git tells its hooks, and so what all that reads the repository goes by.
        self.environment = {
            "GIT_QUARANTINE_PATH": str(self.folder),
            "GIT_OBJECT_DIRECTORY": str(self.folder),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(repository.path / "objects"),
        }

    def add(self, chunks: Iterable[bytes], size: int) -> ObjectID:
        """Write a file of `size` bytes, never more than a chunk of it in memory. Raises WrongSize."""
        digest, packer = hashlib.sha1(usedforsecurity=False), zlib.compressobj(COMPRESSION)
        written = 0
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
            header = b"blob %d\0" % size
            digest.update(header)
            file.write(packer.compress(header))
            for chunk in chunks:
                written += len(chunk)
                if written > size:
                    raise WrongSize()
                digest.update(chunk)
                file.write(packer.compress(chunk))
            file.write(packer.flush())
        if written != size:
            raise WrongSize()
        name = digest.hexdigest()
        target = self.folder / name[:2] / name[2:]
        target.parent.mkdir(exist_ok=True)
        os.replace(file.name, target)  # noqa: PTH105 - of a name that is no Path yet
        return ObjectID(name.encode())

    def tree(self, files: Mapping[str, tuple[int, ObjectID]]) -> ObjectID:
        """Write the tree of these files: path to (mode, object)."""
        return commit_tree(
            self.store, [(os.fsencode(path), name, mode) for path, (mode, name) in files.items()]
        )

    def commit(self, tree: ObjectID, parent: str | None, author: bytes, message: str) -> str:
        """Write a commit of a tree that is here; its id. `author` is ``Name <e-mail>``."""
        commit = Commit()
        commit.tree = tree
        commit.parents = [ObjectID(parent.encode())] if parent else []
        commit.author = commit.committer = author
        commit.author_time = commit.commit_time = int(time.time())
        commit.author_timezone = commit.commit_timezone = 0
        commit.encoding = b"UTF-8"
        commit.message = message.encode()
        self.store.add_object(commit)
        return commit.id.decode()


@contextlib.contextmanager
def drafted(repository: Repository) -> Iterator[Draft]:
    """A draft for a block, in which the repository is read together with it."""
    draft = None
    try:
        draft = Draft(repository)
        os.environ.update(draft.environment)
        yield draft
    finally:
        if draft is not None:
            draft.store.close()
            for name in draft.environment:
                os.environ.pop(name, None)
        shutil.rmtree(repository.draft, ignore_errors=True)
