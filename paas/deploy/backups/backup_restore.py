"""backup:restore and backup:verify: a backup is read to its end before anything here changes.

What it holds is put aside first, in a folder of its own. Images go to the engine as they arrive, which takes them only
when the end of the backup has come and is genuine. The last step is the database's, and it happens at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from paas.console import size
from paas.deploy.backups.backup import scratch, volumes
from paas.deploy.containers.network import LABEL_NETWORK
from paas.deploy.session import Session
from paas.engine.containers import LABEL_ROOT
from paas.engine.networks import NetworkExists, Networks
from paas.errors import PaasError
from paas.model.names import AppName, BranchName
from paas.settings import REMEMBERED, Settings
from paas.store.apps import Apps
from paas.store.backup_file import (
    DATABASE,
    FILES,
    IMAGES,
    READ_BYTES,
    REPOSITORIES,
    VOLUMES,
    BackupReader,
    Contents,
    Member,
)
from paas.store.database import Database, open_database
from paas.store.keys import Keys
from paas.store.releases import Releases
from paas.store.repositories import GitFailed, Repository
from paas.store.restored import adapt, keep_keys, replace_content
from paas.store.sealed import Damaged

STAGING = ".restore"
BUNDLE = "bundle"
# A machine that has these keeps its own: how it listens, and who may come in by sshd (made from the database).
OWN = (REMEMBERED, ".ssh/authorized_keys")


class NotEmpty(PaasError):
    """There are apps here already: {apps}. Nothing was changed. A backup is restored where there is none: set PAAS_ROOT to an empty directory, or remove them with apps:destroy"""


class StorageNotEmpty(PaasError):
    """There is something at {places} already. Nothing was changed. Move it away, or leave the backup's storage out with --no-volumes"""


def verify(session: Session, reader: BackupReader) -> dict[str, int]:
    """Read all of a backup; the size in bytes of each of its sections. Raises Damaged, NewerBackup."""
    sizes: dict[str, int] = {}
    session.settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with scratch(session.settings.run_dir, "verify") as folder:
        while (member := reader.next()) is not None:
            sizes[member.section] = sizes.get(member.section, 0) + member.size
            if member.section == DATABASE:
                _spool(_pieces(member), folder / DATABASE)
                _check_database(folder / DATABASE)
            else:
                for _ in _pieces(member):
                    continue
    if DATABASE not in sizes:
        raise Damaged(reason="its database is missing")
    return sizes


def restore(session: Session, reader: BackupReader, with_volumes: bool = True) -> list[str]:
    """Make this machine what the backup was of; nothing is started yet. Returns the names of its apps that are to run.

    Raises NotEmpty, StorageNotEmpty, Damaged, NewerBackup, EngineUnavailable; then nothing has changed.
    """
    refuse_used(session)
    contents = reader.contents
    _check_names(contents)
    places = contents.volumes if with_volumes else ()
    # Also how an engine that does not answer is noticed before anything is read.
    taken = [place for place in places if volumes(session).exists(_moved(place, contents, session.settings))]
    if taken:
        raise StorageNotEmpty(places=", ".join(taken))
    before = session.images.names()
    with scratch(session.settings.root, STAGING) as folder:
        staged = dataclasses.replace(session.settings, root=folder / "root")
        staged.repositories_dir.mkdir(mode=0o700, parents=True)
        try:
            _receive(session, reader, staged, with_volumes)
            running = _put_in_place(session, contents, staged, places)
            if contents.root_id != session.settings.root_id:
                for name in set(contents.images) - before.keys():
                    session.images.untag(name)
            return running
        except BaseException:
            with contextlib.suppress(PaasError):
                for name, _ in session.images.names().items() - before.items():
                    if name.startswith(_own_tags(contents, session.settings)):
                        session.images.untag(name)
            raise


def refuse_used(session: Session) -> None:
    """Raises NotEmpty."""
    names = session.apps.names()
    if names:
        raise NotEmpty(apps=", ".join(names[:5]) + (" and others" if len(names) > 5 else ""))


def _receive(session: Session, reader: BackupReader, staged: Settings, with_volumes: bool) -> None:
    contents, console = reader.contents, session.console
    while (member := reader.next()) is not None:
        parts = member.name.parts
        if member.section == DATABASE and len(parts) == 1:
            _spool(_pieces(member), staged.database_path)
            _check_database(staged.database_path)
        elif member.section == FILES and len(parts) > 1:
            target = staged.root / FILES / Path(*parts[1:])
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _spool(_pieces(member), target, member.mode)
        elif member.section == REPOSITORIES and len(parts) == 3 and parts[1] in contents.repositories:
            console.step(f"Repository of {parts[1]}")
            _unbundle(Repository(staged, parts[1]), contents, parts[1], reader.joined(member))
        elif member.section == VOLUMES and len(parts) == 3 and parts[1].isdecimal():
            if with_volumes:
                _spool(reader.joined(member), staged.root / f"volume-{int(parts[1])}")
            else:
                for _ in reader.joined(member):
                    continue
        elif member.section == IMAGES and len(parts) == 2:
            console.step(f"Images of {len(contents.images)} releases")
            session.images.load(_to_the_end(reader, member), console)
        else:
            raise Damaged(reason="it holds something that does not belong there")


def _to_the_end(reader: BackupReader, first: Member) -> Iterator[bytes]:
    """The images, which come last. The engine is not told that they are whole before all of the backup is."""
    yield from reader.joined(first)
    if reader.next() is not None:
        raise Damaged(reason="it holds something that does not belong there")


def _put_in_place(session: Session, contents: Contents, staged: Settings, places: tuple[str, ...]) -> list[str]:
    settings = session.settings
    if not staged.database_path.exists():
        raise Damaged(reason="its database is missing")
    key = staged.root / FILES / "secret.key"
    if key.exists():
        shutil.copyfile(key, staged.root / "secret.key")
    with contextlib.closing(open_database(staged)) as database:
        adapt(database, contents.root, contents.root_id, settings)
        running = _to_run(database)
        for app, head in contents.repositories.items():
            if app in contents.empty:
                Repository(staged, app).create(head.removeprefix("refs/heads/"))
        # That it can be opened is not enough: another key would be noticed at the first deploy only.
        with contextlib.closing(session.database) as here:
            written: list[str] = []
            try:
                _write_volumes(session, contents, staged, places, written)
                _rename_images(session, contents)
                _make_networks(session, contents)
                for old, new in keep_keys(database, here):
                    session.console.detail(f"This machine's ssh key {old} is called {new} from now on")
                refuse_used(session)
                _move(contents, staged, settings)
            except BaseException:
                for place in written:
                    volumes(session).remove(place)
                raise
            replace_content(here, database)
            Keys(here).write_authorized_keys()
    session.disconnect()
    return running


def _to_run(database: Database) -> list[str]:
    """The apps that are to run; reading their releases decrypts them, so the key fits. Raises SecretKeyWrong."""
    found = []
    for app in Apps(database).all():
        if app.deployed:
            Releases(database).current(app)
            if not app.stopped:
                found.append(str(app.name))
    return found


def _move(contents: Contents, staged: Settings, settings: Settings) -> None:
    for app in contents.repositories:
        target = Repository(settings, app)
        target.remove()
        Repository(staged, app).path.rename(target.path)
    files = staged.root / FILES
    for path in sorted(files.rglob("*")):
        name = str(path.relative_to(files))
        target_path = settings.root / name
        if path.is_file() and not (name in OWN and target_path.exists()):
            target_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.replace(target_path)


def _unbundle(repository: Repository, contents: Contents, app: str, content: Iterator[bytes]) -> None:
    head = contents.repositories[app]
    repository.create(head.removeprefix("refs/heads/"))
    bundle = repository.path / BUNDLE
    _spool(content, bundle)
    try:
        repository.git("fetch", "--quiet", "--update-head-ok", "--", BUNDLE, "+refs/*:refs/*")
    except GitFailed as error:
        raise Damaged(reason=f"the repository of {app}: {error}") from None
    bundle.unlink()


def _write_volumes(
    session: Session, contents: Contents, staged: Settings, places: tuple[str, ...], written: list[str]
) -> None:
    for number, place in enumerate(places):
        archive = staged.root / f"volume-{number}"
        if not archive.exists():
            continue
        target = _moved(place, contents, session.settings)
        session.console.step(f"Storage {target}: {size(archive.stat().st_size)}")
        if target.startswith("/"):
            with contextlib.suppress(OSError):
                Path(target).mkdir(parents=True, exist_ok=True)
        written.append(target)
        with archive.open("rb") as file:
            volumes(session).write(target, file)
        archive.unlink()


def _rename_images(session: Session, contents: Contents) -> None:
    """Names of images begin with what stands for PAAS_ROOT; it may be another directory here."""
    for name in contents.images:
        new = _own_tags(contents, session.settings)[1] + name.partition("/")[2]
        if name != new:
            session.images.tag(name, new)
    session.console.detail(f"{len(contents.images)} images are loaded")


def _make_networks(session: Session, contents: Contents) -> None:
    for name in contents.networks:
        labels = {LABEL_ROOT: str(session.settings.root), LABEL_NETWORK: name}
        with contextlib.suppress(NetworkExists):
            Networks(session.api).create(name, labels)


def _own_tags(contents: Contents, settings: Settings) -> tuple[str, str]:
    return f"paas-{contents.root_id}/", f"paas-{settings.root_id}/"


def _moved(place: str, contents: Contents, settings: Settings) -> str:
    """Storage below the PAAS_ROOT of the backup lies below this one."""
    old = f"{contents.root}/storage/"
    return f"{settings.root}/storage/{place.removeprefix(old)}" if place.startswith(old) else place


def _check_names(contents: Contents) -> None:
    """Names become paths and arguments. Raises Damaged."""
    try:
        for app in (*contents.apps, *contents.repositories):
            AppName.parse(app)
        for head in contents.repositories.values():
            BranchName.parse(head.removeprefix("refs/heads/"))
        if not all(name.startswith(f"paas-{contents.root_id}/") for name in contents.images):
            raise ValueError
        if any(".." in place.split("/") or ":" in place for place in contents.volumes):
            raise ValueError
    except (PaasError, ValueError, AttributeError, TypeError):
        raise Damaged(reason="its list of contents can't be read") from None


def _check_database(path: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(path)) as database:
            answer = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        answer = str(error)
    if answer != "ok":
        raise Damaged(reason=f"its database: {answer}")


def _pieces(member: Member) -> Iterator[bytes]:
    while data := member.content.read(READ_BYTES):
        yield data


def _spool(pieces: Iterator[bytes], target: Path, mode: int = 0o600) -> None:
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode & 0o700 or 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for piece in pieces:
            file.write(piece)
