"""A commit in the making: a repository of its own that borrows the app's objects, gone when the push is done."""

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
from dulwich.objects import Commit, ObjectID
from dulwich.repo import Repo

from paas.store.repositories import Repository

# Most of what archives hold is compressed already, or small.
COMPRESSION = 1


class WrongSize(ValueError):
    """What came is not as long as was said."""


class Draft:
    """Objects are written here, and one commit of them. The one that holds the app's lock has it."""

    def __init__(self, repository: Repository) -> None:
        self.folder: Path = repository.draft
        self.repo = Repo.init_bare(str(self.folder), mkdir=True)
        (self.folder / "objects/info").mkdir(exist_ok=True)
        (self.folder / "objects/info/alternates").write_text(f"{repository.path}/objects\n")

    def add(self, chunks: Iterable[bytes], size: int) -> ObjectID:
        """Write a file of `size` bytes, never more than a chunk of it in memory. Raises WrongSize."""
        digest, packer = hashlib.sha1(usedforsecurity=False), zlib.compressobj(COMPRESSION)
        written = 0
        with tempfile.NamedTemporaryFile(dir=self.folder / "objects", delete=False) as file:
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
        target = self.folder / "objects" / name[:2] / name[2:]
        target.parent.mkdir(exist_ok=True)
        os.replace(file.name, target)  # noqa: PTH105 - of a name that is no Path yet
        return ObjectID(name.encode())

    def tree(self, files: Mapping[str, tuple[int, ObjectID]]) -> ObjectID:
        """Write the tree of these files: path to (mode, object)."""
        return commit_tree(
            self.repo.object_store, [(os.fsencode(path), name, mode) for path, (mode, name) in files.items()]
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
        self.repo.object_store.add_object(commit)
        return commit.id.decode()


@contextlib.contextmanager
def drafted(repository: Repository) -> Iterator[Draft]:
    """A draft for a block."""
    draft = None
    try:
        draft = Draft(repository)
        yield draft
    finally:
        if draft is not None:
            draft.repo.close()
        shutil.rmtree(repository.draft, ignore_errors=True)
