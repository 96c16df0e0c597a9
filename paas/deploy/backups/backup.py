"""backup:create: everything that a machine without anything needs to serve the same apps, as one stream.

Commands go on meanwhile: the database is copied by SQLite's own means first, then what it refers to.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from paas import __version__
from paas.console import size
from paas.deploy.containers.network import LABEL_NETWORK
from paas.deploy.containers.run_containers import owner_label
from paas.deploy.session import Session
from paas.engine.archives import Volumes, save_images
from paas.engine.containers import LABEL_ROOT
from paas.engine.networks import Networks
from paas.errors import PaasError
from paas.store.backup_file import (
    DATABASE,
    FILES,
    IMAGES,
    REPOSITORIES,
    VOLUMES,
    BackupWriter,
    Contents,
)
from paas.store.database import Database, copy_database, migrations
from paas.store.operations import process_start
from paas.store.repositories import Repository
from paas.store.sealed import Lock, Sealer
from paas.store.storage import Storage

# Made again from the rest, or of this machine only.
LEFT_OUT = ("run", "locks", "router", "log", "cache", "checkouts", "repositories", "storage", "lost+found")
LEFT_OUT_NAMES = ("paas.db", ".paas.db", ".restore-", ".cache", ".settings.env.", ".secret.key.")


@dataclass(frozen=True)
class Choice:
    """What goes into a backup besides the state."""

    images: bool = True
    volumes: bool = False


def create(session: Session, out: BinaryIO, locks: Sequence[Lock], choice: Choice) -> None:
    """Write a backup. Raises EngineUnavailable, GitFailed, DatabaseFailed; what was written then is no whole backup."""
    console = session.console
    with scratch(session.settings.run_dir, "backup") as folder:
        copy = folder / DATABASE
        copy_database(session.settings.database_path, copy)
        contents = _contents(session, copy, choice)
        sealer = Sealer(out, locks)
        counted = _Counted(sealer)
        writer = BackupWriter(counted, contents)  # type: ignore[arg-type]
        writer.file(DATABASE, copy)
    _add_files(session, writer)
    for app in contents.repositories:
        if app not in contents.empty:
            bundle = Repository(session.settings, app).stream("bundle", "create", "--quiet", "-", "--all")
            writer.stream(f"{REPOSITORIES}/{app}", bundle)
    console.step(f"State of {len(contents.apps)} apps: {size(counted.bytes)}")
    for number, place in enumerate(contents.volumes):
        total = writer.stream(f"{VOLUMES}/{number}", volumes(session).read(place))
        console.step(f"Storage {place}: {size(total)}")
    if contents.images:
        progress = console.progress("Images")
        before = counted.bytes
        with progress.ticking(lambda: progress.rate(counted.bytes - before)):
            total = writer.stream(IMAGES, save_images(session.api, contents.images))
        console.step(f"Images of {len(contents.images)} releases: {size(total)}")
    writer.end()
    sealer.close()
    console.step(f"Done: {size(counted.bytes)}, encrypted")


def volumes(session: Session) -> Volumes:
    """What reads and writes storage."""
    image = f"paas-{session.settings.root_id}/storage:empty"
    return Volumes(session.api, image, {LABEL_ROOT: str(session.settings.root)} | owner_label())


@contextlib.contextmanager
def scratch(parent: Path, kind: str) -> Iterator[Path]:
    """A private folder for the block; those of commands that were killed go too."""
    for left in parent.glob(f"{kind}-*"):
        pid = left.name.rpartition("-")[2]
        if not (pid.isdigit() and process_start(int(pid))):
            shutil.rmtree(left, ignore_errors=True)
    folder = parent / f"{kind}-{os.getpid()}"
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Counted:
    """A file that counts what is written to it."""

    def __init__(self, out: Sealer) -> None:
        self.out, self.bytes = out, 0

    def write(self, data: bytes) -> int:
        self.bytes += len(data)
        return self.out.write(data)


def _contents(session: Session, copy: Path, choice: Choice) -> Contents:
    settings = session.settings
    reader = Database.reading(settings, copy)
    try:
        apps = tuple(row["name"] for row in reader.rows("SELECT name FROM apps ORDER BY name"))
        tags = [row["image_tag"] for row in reader.rows(_TAGS)]
        places = tuple(dict.fromkeys(entry.host_path for entry in Storage(reader).entries()))
    finally:
        reader.close()
    repositories = {app: Repository(settings, app) for app in apps}
    there = {app: item for app, item in repositories.items() if item.exists}
    images: list[str] = []
    if choice.images and tags:
        known = session.images.names()
        images = [tag for tag in dict.fromkeys(tags) if tag in known]
        for tag in sorted(set(tags) - set(images)):
            session.console.warn(f"The image {tag} is not on the engine: it is left out, its app is built anew")
    return Contents(
        version=__version__,
        schema=len(migrations()),
        created_at=int(time.time()),
        host=platform.node(),
        root=str(settings.root),
        root_id=settings.root_id,
        apps=apps,
        repositories={app: _head(item) for app, item in there.items()},
        empty=tuple(app for app, item in there.items() if not item.git("for-each-ref", "--count=1").strip()),
        volumes=places if choice.volumes else (),
        images=tuple(images),
        networks=_networks(session),
    )


# Of each app what serves, and what waits for ps:start after a deploy that left it out (deploy/skipped.py).
_TAGS = """
    SELECT DISTINCT image_tag FROM releases JOIN apps ON apps.id = releases.app_id
    LEFT JOIN properties ON properties.app_id = apps.id AND namespace = 'ps' AND key = 'skipped-release'
    WHERE number = current_release OR CAST(number AS TEXT) = value
    ORDER BY image_tag
"""


def _head(repository: Repository) -> str:
    return (repository.path / "HEAD").read_text().strip().removeprefix("ref: ")


def _networks(session: Session) -> tuple[str, ...]:
    root = str(session.settings.root)
    # Without an engine there is a backup all the same.
    with contextlib.suppress(PaasError):
        found = Networks(session.api).all()
        return tuple(
            item.name for item in found if item.labels.get(LABEL_ROOT) == root and LABEL_NETWORK in item.labels
        )
    return ()


def _add_files(session: Session, writer: BackupWriter) -> None:
    """All files of ours that can't be made again, among them the secret key and those of the SSH server."""
    root = session.settings.root
    tops = [
        item for item in sorted(root.iterdir())
        if item.name not in LEFT_OUT and not item.name.startswith(LEFT_OUT_NAMES)
    ]  # fmt: skip
    tops += sorted(root.glob("repositories/*.git/lfs"))
    for top in tops:
        for path in [top] if not top.is_dir() or top.is_symlink() else sorted(top.rglob("*")):
            if path.is_symlink():
                session.console.warn(f"{path} is a link: it is left out")
            elif path.is_file():
                writer.file(f"{FILES}/{path.relative_to(root)}", path)
