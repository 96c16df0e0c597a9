"""plugin:*: plugins are installed, switched on and off, and taken away, with the router in step at once or nothing done."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from paas.deploy.session import Session
from paas.deploy.sources.git_client import remote_git
from paas.errors import PaasError
from paas.model.caller import Caller
from paas.model.git_url import InvalidRemote, RemoteUrl, shown
from paas.model.names import printable
from paas.plugins import loading, registry
from paas.plugins.registry import Installed, NotAPlugin, Plugin, Registry
from paas.store import routing
from paas.store.repositories import Repository

CHECK_SECONDS = 60
MAX_BYTES = 64 * 1024 * 1024
MAX_FILES = 5000
LEFT_OUT = (".git", "__pycache__")
DRAFT = ".new-"
HEAD = "refs/heads/wanted"
PROGRAM = Path(__file__).parent.parent.parent


class NotAllowed(PaasError):
    """Plugins run with all rights of paas, so only an administrator may change them. Nothing was changed. Do it on the host"""


class NoSource(PaasError):
    """{given} is no folder of this machine that the user of paas can read, and no URL of a git repository. Nothing was changed"""


class NoSuchPlugin(PaasError):
    """There is no plugin {name}. Nothing was changed. See plugin:list"""


class PluginThere(PaasError):
    """There is a plugin {name} already. Nothing was changed. Renew it with plugin:update {name}, or give another --name"""


class NeedsName(PaasError):
    """{given} can't be a plugin's name. Nothing was changed. Give lower-case letters, digits and dashes, at most 32"""


class PartOfPaas(PaasError):
    """{name} came with paas. Nothing was changed. To do without it: plugin:disable {name}"""


class PluginRefused(PaasError):
    """The plugin {name} can't be used: {reason}. Nothing was changed"""


class NoSuchCommittish(PaasError):
    """{remote} has no branch, tag or commit {committish}. Nothing was changed"""


def may_change(caller: Caller) -> bool:
    """The one place that decides who may install code. On the host only root and the service's user get here; over ssh
    every key is an administrator's today."""
    return caller.door in ("host", "ssh")


def find(session: Session, name: str) -> Plugin:
    """Raises NoSuchPlugin."""
    for plugin in registry.plugins(session.settings):
        if plugin.name == name:
            return plugin
    raise NoSuchPlugin(name=printable(name) or "without a name")


def install(session: Session, given: str, committish: str, name: str) -> Plugin:
    """From a folder or a git URL. Raises NotAPlugin, PluginRefused, PluginThere, RemoteFailed and what routing raises."""
    with _changing(session), _draft(session) as draft:
        folder, source = _obtain(session, draft, given, committish)
        wanted = name or registry.manifest(folder).name
        if not registry.NAME.fullmatch(wanted):
            raise NeedsName(given=printable(wanted))
        if any(plugin.name == wanted for plugin in registry.plugins(session.settings)):
            raise PluginThere(name=wanted)
        _put(session, folder, wanted, source)
    return find(session, wanted)


def update(session: Session, name: str, committish: str) -> Plugin | None:
    """From where it came from, maybe another branch, tag or commit; None when it is that already."""
    with _changing(session), _draft(session) as draft:
        before = find(session, name).installed
        if before is None:
            raise PartOfPaas(name=name)
        folder, source = _obtain(session, draft, before.source, committish or before.committish)
        if source.commit and source.commit == before.commit:
            return None
        _put(session, folder, name, source)
    return find(session, name)


def switch(session: Session, name: str, enabled: bool) -> bool:
    """Enable or disable a plugin; whether that was news."""
    with _changing(session):
        if find(session, name).enabled == enabled:
            return False
        found = registry.read(session.settings)
        disabled = found.disabled - {name} if enabled else found.disabled | {name}
        _change(session, replace(found, disabled=disabled), name if enabled else "")
    return True


def uninstall(session: Session, name: str) -> None:
    """Forget a plugin of the operator's. What it has stored about apps stays."""
    with _changing(session):
        if find(session, name).installed is None:
            raise PartOfPaas(name=name)
        found = registry.read(session.settings)
        left = {key: item for key, item in found.installed.items() if key != name}
        _change(session, Registry(left, found.disabled - {name}))
        shutil.rmtree(registry.folder(session.settings, name), ignore_errors=True)


@contextlib.contextmanager
def _changing(session: Session) -> Iterator[None]:
    if not may_change(session.caller):
        raise NotAllowed()
    with registry.changing(session.settings):
        yield


@contextlib.contextmanager
def _draft(session: Session) -> Iterator[Path]:
    """A folder for what is not yet a plugin; also those that killed commands left are removed."""
    above = registry.folder(session.settings, "x").parent
    above.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in above.glob(f"{DRAFT}*"):
        shutil.rmtree(left, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=above))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _obtain(session: Session, draft: Path, given: str, committish: str) -> tuple[Path, Installed]:
    """The plugin's files in a folder below `draft`, and where they came from."""
    target = draft / "plugin"
    folder = Path(given)
    if given and os.access(folder, os.R_OK | os.X_OK) and folder.is_dir():
        registry.manifest(folder)  # Before anything is copied: this may be any folder.
        _copy(folder, target)
        return target, Installed(0, str(folder.absolute()))
    try:
        remote = RemoteUrl.parse(given)
    except InvalidRemote:
        raise NoSource(given=shown(given) or "That") from None
    commit = _fetch(session, draft, target, remote, committish)
    return target, Installed(0, remote.text, committish, commit)


def _copy(folder: Path, target: Path) -> None:
    files = size = 0

    def check(place: str, names: list[str]) -> list[str]:
        nonlocal files, size
        kept = [name for name in names if name not in LEFT_OUT]
        files += len(kept)
        size += sum((Path(place) / name).lstat().st_size for name in kept)
        if files > MAX_FILES or size > MAX_BYTES:
            raise NotAPlugin(
                folder=folder, reason=f"it has more than {MAX_FILES} files or {MAX_BYTES >> 20} MB"
            )
        return [name for name in names if name in LEFT_OUT]

    try:
        shutil.copytree(folder, target, symlinks=True, ignore=check)
    except (shutil.Error, OSError) as error:
        first = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror
        raise NotAPlugin(folder=folder, reason=f"it can't be read whole ({printable(str(first))})") from None


def _fetch(session: Session, draft: Path, target: Path, remote: RemoteUrl, committish: str) -> str:
    """Check out what was asked for, else the remote's HEAD; the commit."""
    repository = Repository(session.settings, "plugin")
    repository.path = draft / "repository"
    repository.create("wanted")
    what = ["+refs/heads/*:refs/remotes/*", "+refs/tags/*:refs/tags/*"] if committish else [f"+HEAD:{HEAD}"]
    options = [
        "--no-tags",
        "--no-write-fetch-head",
        "--no-recurse-submodules",
        "--no-auto-maintenance",
        "--progress",
    ]
    remote_git(session, repository.path, ["fetch", *options, "--end-of-options", remote.text, *what], remote)
    names = [f"refs/remotes/{committish}", f"refs/tags/{committish}"] if committish else [HEAD]
    commit = next((found for name in names if (found := repository.resolve(name))), None)
    commit = commit or (repository.find(committish) if committish else None)
    if commit is None:
        raise NoSuchCommittish(remote=remote.shown, committish=printable(committish or "HEAD"))
    target.mkdir()
    repository.check_out(commit, target, draft / "index", 0o077)
    repository.close()
    return commit


def _put(session: Session, folder: Path, name: str, source: Installed) -> None:
    """Try the plugin, then let it be the one of this name."""
    registry.manifest(folder)
    _try(session, folder, name)
    found = registry.read(session.settings)
    place = registry.folder(session.settings, name)
    # Never one of before, not even after an uninstall: a process that has loaded that one still knows it by its folder.
    number = time.time_ns()
    copy = place / str(number)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        folder.rename(copy)
        installed = found.installed | {name: replace(source, number=number)}
        _change(session, replace(found, installed=installed), name)
    except BaseException:
        shutil.rmtree(copy, ignore_errors=True)
        if name not in found.installed:
            shutil.rmtree(place, ignore_errors=True)
        raise
    # The one before may just be loading somewhere.
    before = found.installed.get(name)
    for item in place.iterdir():
        if item != copy and not (before and item.name == str(before.number)):
            shutil.rmtree(item, ignore_errors=True)


def _try(session: Session, folder: Path, name: str) -> None:
    """Load the plugin in a process of its own. Raises PluginRefused."""
    environment = {
        "HOME": str(session.settings.root),
        "LANG": "C.UTF-8",
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(PROGRAM),
        "PAAS_ROOT": str(session.settings.root),
    }
    words = [sys.executable, "-P", "-m", "paas.check_plugin", str(folder), name]
    try:
        done = subprocess.run(
            words,
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PluginRefused(name=name, reason=f"it was not loaded after {CHECK_SECONDS} s") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise PluginRefused(name=name, reason=printable(said[-1], 300) if said else f"exit {done.returncode}")


def _change(session: Session, after: Registry, needed: str = "") -> None:
    """Let `after` be the plugins, and the router as they want it; or leave both. `needed` must be loaded then."""
    settings = session.settings
    with session.routing():
        before = registry.read(settings)
        routing.touch(session.database)
        registry.write(settings, after)
        try:
            why = loading.current(settings).broken.get(needed)
            if why:
                raise PluginRefused(name=needed, reason=why)
            session.apply(session.routes(), routing.version(session.database))
        except BaseException:
            registry.write(settings, before)
            with contextlib.suppress(PaasError, OSError):
                session.apply(session.routes())
            raise


def described(given: str) -> str:
    """A folder or URL as it may be recorded."""
    try:
        return RemoteUrl.parse(given).shown
    except InvalidRemote:
        return shown(given)
