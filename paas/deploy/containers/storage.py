"""Storage: places of the host that outlive containers, and what of them an app's containers see."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from paas.deploy.containers.run_containers import owner_label
from paas.deploy.session import Session
from paas.engine.containers import LABEL_ROOT
from paas.errors import PaasError
from paas.model import storage as model
from paas.model.names import ProcessType
from paas.model.storage import EVERY_TYPE, Attachment, Entry
from paas.store.apps import App
from paas.store.storage import Storage

if TYPE_CHECKING:
    from paas.engine.folders import Folders

DEFAULT_MODE = 0o755


class MountExists(PaasError):
    """Mount path already exists."""


class NoSuchMount(PaasError):
    """Mount path does not exist."""


class NotMounted(PaasError):
    """storage entry "{entry}" is not mounted{where} on app "{app}\""""


class SeveralMounts(PaasError):
    """storage entry "{entry}" is mounted at multiple paths on app "{app}" ({paths}); pass --container-dir to disambiguate"""


class StillMounted(PaasError):
    """storage entry "{entry}" is still mounted by app(s): {apps}"""


class EntryElsewhere(PaasError):
    """storage entry "{entry}" already exists with the path {path}; refusing to redefine. Nothing was changed"""


class NotAFolder(PaasError):
    """{path} exists but is not a directory. Nothing was changed"""


class NotMade(PaasError):
    """Unable to create {path}: {reason}. Nothing was changed. Make it as root, or leave the path out"""


class NotOurs(PaasError):
    """{path} is not below {base}: paas changes no owner and removes nothing elsewhere. Nothing was changed. Do it as root"""


class VolumeHasNoFolders(PaasError):
    """{volume} is a Docker volume: paas mounts it whole and leaves its owner alone. Nothing was changed. Use an entry with a path for {option}"""


class SamePlace(PaasError):
    """Two mounts lead to {path} in {app}: {mounts}. Nothing was changed. Take one away with storage:unmount"""


class LinkOutside(PaasError):
    """{path} is a link to a place outside of {base}. Nothing was changed. Remove the link"""


def base(session: Session) -> Path:
    """The folder below which storage lies whose place nobody chose."""
    return session.settings.root / "storage"


def store(session: Session) -> Storage:
    return Storage(session.database)


def mount_options(
    session: Session, app: App, phase: str, process_type: ProcessType | None = None
) -> tuple[str, ...]:
    """The ``-v`` words for a container. Raises SamePlace, LinkOutside."""
    found: dict[str, Attachment] = {}
    for item in store(session).mounts(app.id):
        if phase not in item.phases or item.process_type not in (EVERY_TYPE, process_type):
            continue
        other = found.get(item.container_path)
        if other is not None:
            raise SamePlace(path=item.container_path, app=app.name, mounts=f"{other.mount}, {item.mount}")
        _check_link(item)
        found[item.container_path] = item
    return tuple(word for item in found.values() for word in ("-v", item.mount))


def _check_link(item: Attachment) -> None:
    """What a container has written into its storage must not decide what of the host another one gets."""
    if item.subpath and not _within(os.path.realpath(item.source), os.path.realpath(item.host_path)):
        raise LinkOutside(path=item.source, base=item.host_path)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def mount(session: Session, app: App, item: Attachment) -> None:
    """Mount by path. Raises MountExists."""
    with session.database.transaction():
        mounts = store(session).mounts(app.id)
        if any(other.mount == item.mount for other in mounts):
            raise MountExists()
        store(session).set_mounts(app, [*mounts, item])


def mount_entry(session: Session, app: App, item: Attachment) -> bool:
    """Mount a named entry, or change how it is mounted. Returns whether the mount is new."""
    if item.subpath and not item.host_path.startswith("/"):
        raise VolumeHasNoFolders(volume=item.host_path, option="--volume-subpath")
    if item.volume_chown:
        give(session, item.source, item.volume_chown, "")
    with session.database.transaction():
        mounts = store(session).mounts(app.id)
        keys = [other.key for other in mounts]
        if item.key in keys:
            mounts[keys.index(item.key)] = item
        else:
            mounts.append(item)
        store(session).set_mounts(app, mounts)
    return item.key not in keys


def unmount(session: Session, app: App, item: Attachment) -> None:
    """Take away a mount by path. Raises NoSuchMount."""
    with session.database.transaction():
        mounts = store(session).mounts(app.id)
        kept = [other for other in mounts if other.mount != item.mount]
        if len(kept) == len(mounts):
            raise NoSuchMount()
        store(session).set_mounts(app, kept)


def unmount_entry(session: Session, app: App, entry: str, container_path: str, process_type: str) -> None:
    """Take away an entry's mount; the empty texts mean any. Raises NotMounted, SeveralMounts."""
    with session.database.transaction():
        mounts = store(session).mounts(app.id)
        matching = [
            item
            for item in mounts
            if item.entry_name == entry
            and container_path in ("", item.container_path)
            and process_type in ("", item.process_type)
        ]
        if not matching:
            where = f' at "{container_path}"' if container_path else ""
            raise NotMounted(entry=entry, where=where, app=app.name)
        if len(matching) > 1 and not container_path:
            paths = ", ".join(sorted(item.container_path for item in matching))
            raise SeveralMounts(entry=entry, app=app.name, paths=paths)
        store(session).set_mounts(app, [item for item in mounts if item not in matching])


def create(session: Session, entry: Entry) -> bool:
    """Make the entry, and its folder where there is none. False when the entry was there. Raises EntryElsewhere."""
    known = store(session).find(entry.name)
    if known is not None and known.host_path != entry.host_path:
        raise EntryElsewhere(entry=entry.name, path=known.host_path)
    if known is not None:
        entry = replace(entry, chown=entry.chown or known.chown, mode=entry.mode or known.mode)
    if entry.chown or entry.mode:
        _check_ours(session, entry.host_path, "--chown and --mode")
    if not entry.is_volume and _make(Path(entry.host_path)):
        session.console.detail(f"Created {entry.host_path}")
    give(session, entry.host_path, entry.chown, entry.mode)
    store(session).save(entry)
    return known is None


def change(session: Session, entry: Entry) -> None:
    """Store an entry's new owner and mode, and give them to its folder."""
    if entry.chown or entry.mode:
        give(session, entry.host_path, entry.chown, entry.mode)
    store(session).save(entry)


def destroy(session: Session, entry: Entry, with_folder: bool) -> None:
    """Forget an entry that no app mounts; `with_folder` also removes what is in it. Raises StillMounted, NotOurs."""
    check_unused(session, entry)
    if with_folder:
        _check_ours(session, entry.host_path, "--destroy-host-dir")
        if os.path.lexists(entry.host_path):
            _folders(session).remove(Path(entry.host_path))
    store(session).forget(entry)


def check_unused(session: Session, entry: Entry) -> None:
    """Raises StillMounted."""
    using = store(session).apps_using(entry.name)
    if using:
        raise StillMounted(entry=entry.name, apps=", ".join(using))


def ensure_directory(session: Session, path: Path, chown: str) -> None:
    """Make a folder below `base`, with an owner."""
    _make(path)
    give(session, str(path), chown, "")


def give(session: Session, path: str, chown: str, mode: str) -> None:
    """Give a folder of ours an owner and a mode, each where it is not empty; it is made where there is none."""
    owner = model.owner(chown) if chown else None
    if owner is None and not mode:
        return
    _check_ours(session, path, "--chown and --mode")
    try:
        now = Path(path).stat()
        owner, bits = now.st_uid if owner is None else owner, now.st_mode & 0o7777
    except FileNotFoundError:
        owner, bits = os.getuid() if owner is None else owner, DEFAULT_MODE
    base(session).mkdir(parents=True, exist_ok=True)
    _folders(session).own(Path(path), owner, model.mode(mode) if mode else bits)


def _check_ours(session: Session, path: str, option: str) -> None:
    if not path.startswith("/"):
        raise VolumeHasNoFolders(volume=path, option=option)
    ours = str(base(session))
    if path == ours or not _within(path, ours) or not _within(os.path.realpath(path), os.path.realpath(ours)):
        raise NotOurs(path=path, base=ours)


def _make(path: Path) -> bool:
    """Make a folder of the host as ourselves. Returns whether it was made. Raises NotAFolder, NotMade."""
    if path.is_dir():
        return False
    if os.path.lexists(path):
        raise NotAFolder(path=path)
    try:
        path.mkdir(parents=True)
        # Ours keep to themselves what they make; this is for the users of containers.
        path.chmod(DEFAULT_MODE)
    except OSError as error:
        raise NotMade(path=path, reason=(error.strerror or "").lower()) from None
    return True


def _folders(session: Session) -> Folders:
    from paas.engine.folders import Folders

    image = f"paas-{session.settings.root_id}/storage:empty"
    return Folders(session.api, base(session), image, {LABEL_ROOT: str(session.settings.root)} | owner_label())
