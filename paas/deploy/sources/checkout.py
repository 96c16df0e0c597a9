"""The files of a commit in a folder of the app's own, as the builder wants them.

A folder instead of `git archive` into the builder's standard input: the client then honours .dockerignore and sends only
what has changed since the last build, and of a commit that changes one file one file is written. Nothing of ours is
read from here; manifests are read as blobs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from paas.deploy.session import Session
from paas.store.apps import App
from paas.store.repositories import Repository

# Docker copies files with their modes: what git wants readable has to be readable in the image.
UMASK = 0o022


class Checkout:
    """One app's folder. Its lock is the app's."""

    def __init__(self, session: Session, app: App) -> None:
        self.app = app
        self.folder = session.settings.root / "checkouts" / str(app.id)
        self.tree = self.folder / "tree"

    def update(self, repository: Repository, commit: str, extra: Mapping[str, bytes | None]) -> Path:
        """Make the folder hold the commit's files, and `extra` ones (by path) as given; None lets the
        commit decide. Raises GitFailed."""
        changing = self.folder / "changing"
        if changing.exists():
            # A process that was killed in here may have left anything.
            self.remove()
        self.tree.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self.tree.chmod(0o755)
        changing.touch()
        (self.folder / "index.lock").unlink(missing_ok=True)
        for name in [*extra, *self._placed()]:
            self.forget(name)
        repository.check_out(commit, self.tree, self.folder / "index", UMASK)
        for name, data in extra.items():
            if data is not None:
                self.forget(name)
                (self.tree / name).write_bytes(data)
                (self.tree / name).chmod(0o644)
        changing.unlink()
        return self.tree

    def place(self, name: str) -> Path:
        """An empty folder for files that are not the commit's own, until the next `update`."""
        with (self.folder / "placed").open("a") as file:
            file.write(f"{json.dumps(name)}\n")
        self.forget(name)
        path = self.tree / name
        path.mkdir(parents=True, mode=0o755)
        path.chmod(0o755)
        return path

    def _placed(self) -> list[str]:
        """What `place` made, which is forgotten now."""
        memory = self.folder / "placed"
        if not memory.exists():
            return []
        names: list[str] = [json.loads(line) for line in memory.read_text().splitlines()]
        memory.unlink()
        return names

    def forget(self, name: str) -> None:
        """Remove a file from the folder until the next `update`."""
        path = self.tree / name
        # A commit's link in place of a folder may lead out.
        above = [item for item in path.parents if item.is_relative_to(self.tree)]
        if all(item.is_dir() and not item.is_symlink() for item in above):
            _remove(path)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
