"""The submodules of a commit, put into the build context: from allowed remotes only, at the commits that are named.

git's own `submodule` command would take a repository's word for paths, URLs and update commands.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from pathlib import Path

from dulwich.config import ConfigFile

from paas.deploy.session import Session
from paas.deploy.sources import lfs
from paas.deploy.sources.checkout import UMASK, Checkout
from paas.deploy.sources.git_client import OURS, RemoteFailed, remote_git
from paas.deploy.sources.public import NotPublic, public_git_words
from paas.deploy.sources.weight import weighed
from paas.errors import PaasError
from paas.model.git_url import InvalidRemote, RemoteUrl, shown
from paas.model.names import printable
from paas.settings import Settings
from paas.store.repositories import Repository

MAX_DEPTH = 10
MAX_MODULES = 100
GITMODULES = ".gitmodules"
_LINK = re.compile(rb"160000 commit ([0-9a-f]{40})\t(.+)", re.DOTALL)


class SubmoduleRefused(PaasError):
    """The submodule {path} can't be checked out: {reason}. Nothing was deployed. {advice}"""


class Module(Repository):
    """A bare copy of a submodule's repository, kept with the app's build context."""

    pushed_to = False

    def __init__(self, settings: Settings, path: Path) -> None:
        super().__init__(settings, "submodule")
        self.path = path

    def environment(self) -> dict[str, str]:
        """Without the quarantine of a push to the app's repository."""
        own = super().environment()
        return {name: value for name, value in own.items() if "OBJECT_DIRECTOR" not in name and "QUARANTINE" not in name}


class Submodules:
    """Checks out submodules below the checkout's tree. `base` is what relative URLs of the commit belong to."""

    def __init__(self, session: Session, checkout: Checkout, base: RemoteUrl | None) -> None:
        self.session = session
        self.checkout = checkout
        self.base = base
        self.count = 0

    def place(self, repository: Repository, commit: str) -> None:
        """Raises SubmoduleRefused and RemoteFailed."""
        self._place(repository, commit, "", self.base, MAX_DEPTH)

    def _place(self, repository: Repository, commit: str, prefix: str, base: RemoteUrl | None, depth: int) -> None:
        data = repository.read(commit, GITMODULES)
        if data is None:
            return
        urls = _urls(data)
        for line in repository.git("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
            if not (match := _LINK.fullmatch(line)):
                continue
            path, wanted = os.fsdecode(match[2]), match[1].decode()
            where = f"{prefix}{path}"
            self.count += 1
            if self.count > MAX_MODULES or depth == 0:
                raise _refused(where, f"there are more than {MAX_MODULES}, or deeper ones than {MAX_DEPTH}")
            remote = _remote(where, urls.get(path), base)
            module = self._fetched(where, remote, wanted)
            self.session.console.detail(f"Submodule {printable(where)}: {wanted[:12]}")
            index = self.checkout.folder / "submodule-index"
            index.unlink(missing_ok=True)
            weighed(self.session, self.checkout.app, module, wanted)
            target = self.checkout.place(where)
            module.check_out(wanted, target, index, UMASK)
            # Where a server of LFS sends us nobody knows before.
            lfs.place(self.session, module, wanted, target, remote if self.session.reach.everything else None)
            self._place(module, wanted, f"{where}/", remote, depth - 1)

    def _fetched(self, where: str, remote: RemoteUrl, wanted: str) -> Module:
        """The submodule's repository with the commit in it."""
        name = hashlib.sha256(remote.text.encode()).hexdigest()[:16]
        module = Module(self.session.settings, self.checkout.folder / "modules" / f"{name}.git")
        module.path.parent.mkdir(exist_ok=True)
        module.create("main")
        if module.resolve(wanted):
            return module
        self.session.console.detail(f"Fetching submodule {printable(where)} from {remote.shown}")
        words = [*self._bounds(where, remote), "fetch", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--progress"]
        words += ["--no-auto-maintenance", "--end-of-options", remote.text]
        try:
            # Most servers give a single commit; to others only branches and tags can be named.
            remote_git(self.session, module.path, [*words, f"+{wanted}:{OURS}/{wanted}"], remote, show=False)
        except RemoteFailed:
            everything = [f"+refs/heads/*:{OURS}/heads/*", f"+refs/tags/*:{OURS}/tags/*"]
            remote_git(self.session, module.path, [*words, *everything], remote, show=False)
        module.close()
        if module.resolve(wanted) is None:
            raise _refused(where, f"{remote.shown} has no commit {wanted}", "Push it there, or commit another one")
        return module


    def _bounds(self, where: str, remote: RemoteUrl) -> list[str]:
        """Options of git for a limited key's push: public hosts only. Raises SubmoduleRefused."""
        if self.session.reach.everything:
            return []
        if remote.scheme == "git":
            raise _refused(where, "git:// is for administrators' keys", "Give it an https:// URL")
        try:
            return public_git_words(self.session, remote)
        except NotPublic as error:
            reason, _, advice = str(error).split(". ", 2)
            raise _refused(where, reason, advice) from None
        except OSError:
            raise _refused(where, f"{remote.site} is not known here") from None


def _urls(data: bytes) -> dict[str, str]:
    """Path to URL, as .gitmodules says. Raises SubmoduleRefused."""
    try:
        config = ConfigFile.from_file(io.BytesIO(data))
        found = {}
        for section in config.sections():
            if section[0] == b"submodule":
                found[os.fsdecode(config.get(section, b"path"))] = os.fsdecode(config.get(section, b"url"))
        return found
    except (ValueError, KeyError) as error:
        raise _refused(GITMODULES, f"the file can't be read ({printable(str(error))})") from None


def _remote(where: str, url: str | None, base: RemoteUrl | None) -> RemoteUrl:
    """Where a submodule comes from. Raises SubmoduleRefused."""
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in where.split("/")):
        raise _refused(where, "its path leads out of the repository")
    if not url:
        raise _refused(where, f"{GITMODULES} has no URL for it")
    try:
        if not url.startswith(("./", "../")):
            return RemoteUrl.parse(url)
        if base is None:
            advice = "Give it an https:// or ssh:// URL, or deploy the repository with git:sync, whose remote it belongs to"
            raise _refused(where, f"its URL {shown(url)} is relative, and a push does not say to what", advice)
        return base.joined(url)
    except InvalidRemote:
        raise _refused(where, f"its URL {shown(url)} is none that may be read") from None


def _refused(where: str, reason: str, advice: str = f"Mend {GITMODULES}, then deploy again") -> SubmoduleRefused:
    return SubmoduleRefused(path=printable(where), reason=reason, advice=advice)
