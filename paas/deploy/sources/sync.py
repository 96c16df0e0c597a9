"""git:sync: a commit of somebody else's repository becomes the newest one of the app's deploy branch.

It is fetched into the app's own repository under a name that no push or clone sees. Where it is built, the branch moves
only after it serves, as with a push.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from paas.deploy import source
from paas.deploy.deploy_lock import refuse_locked
from paas.deploy.operation import announce, operation
from paas.deploy.pipeline import deploy_commit
from paas.deploy.routing.urls import urls
from paas.deploy.session import Session
from paas.deploy.sources.git_client import OURS, remote_git
from paas.errors import PaasError
from paas.model.git_url import RemoteUrl
from paas.model.names import BranchName, printable
from paas.store.apps import App
from paas.store.repositories import Repository

Build = Literal["no", "always", "if-changes"]
USUAL_BRANCHES = (source.DEFAULT_BRANCH, "main")
SHOWN_BRANCHES = 10
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_LISTED = re.compile(r"([0-9a-f]{40})\t(refs/(?:heads|tags)/\S+)")


class NoSuchRef(PaasError):
    """{remote} has no branch, tag or commit {ref}. Nothing was changed. {branches}"""


@dataclass(frozen=True)
class Found:
    """What REF is at the remote: the ref to fetch (None: a commit, all of them), and the branch's name if it is one."""

    ref: str | None
    branch: BranchName | None = None


def sync(
    session: Session, app: App, remote: RemoteUrl, wanted: str, build: Build, skip_deploy_branch: bool = False
) -> None:
    """Fetch `wanted` (a branch, a tag or a commit; empty: the deploy branch) and let it be the deploy branch's commit.

    Raises RemoteFailed, NoSuchRef, and what a deploy raises.
    """
    branch = source.deploy_branch(session, app)
    place = f"{remote.shown}#{printable(wanted or branch)}"
    with operation(session, app, "git:sync", place) as running:
        app = running.app
        if build != "no":
            refuse_locked(session, app)
        branch = source.deploy_branch(session, app)
        repository = session.repository(app)
        repository.create(branch)
        before = repository.resolve(branch.ref)
        first = before is None
        if first:
            session.console.step_header(f"Cloning {app.name} from {place}")
        else:
            session.console.detail(f"Fetching remote code for {app.name} from {place}")
        found = _look_up(session, app, repository, remote, wanted, branch, first)
        with (
            _fetched(session, repository, remote, found, wanted) as commit,
            _deploy_branch(session, app, repository, found, first, skip_deploy_branch) as branch,
        ):
            session.properties.set(app.id, "git", source.SYNC_REMOTE, remote.text)
            builds = build == "always" or (build == "if-changes" and _is_new(session, app, before, commit))
            if builds:
                deploy_commit(session, running, commit)
            _move(repository, branch, commit)
        if builds:
            announce(session, urls(session, running.app))
        elif build == "if-changes":
            session.console.detail("Skipping build as no changes were detected")


def _look_up(
    session: Session, app: App, repository: Repository, remote: RemoteUrl, wanted: str, branch: BranchName, first: bool
) -> Found:
    words = ["ls-remote", "--quiet", "--heads", "--tags", "--end-of-options", remote.text]
    listed = remote_git(session, repository.path, words, remote, show=False).decode("utf-8", "replace")
    refs = {match[2] for line in listed.splitlines() if (match := _LISTED.fullmatch(line))}
    names = [wanted or branch]
    if not wanted and first and not session.properties.computed(app.id, "git", "deploy-branch", ""):
        # As with a first push: either is what people call their main branch.
        names = [*USUAL_BRANCHES]
    for name in names:
        if f"refs/heads/{name}" in refs:
            return Found(f"refs/heads/{name}", BranchName(name))
        for ref in (f"refs/tags/{name}", name):
            if ref in refs:
                return Found(ref)
    if _COMMIT.fullmatch(wanted):
        return Found(None)
    heads = sorted(ref.removeprefix("refs/heads/") for ref in refs if ref.startswith("refs/heads/"))
    told = printable(", ".join(heads[:SHOWN_BRANCHES])) + (", ..." if len(heads) > SHOWN_BRANCHES else "")
    branches = f"Its branches are: {told}" if heads else "It has no branches"
    raise NoSuchRef(remote=remote.shown, ref=printable(names[0]), branches=branches)


@contextlib.contextmanager
def _fetched(
    session: Session, repository: Repository, remote: RemoteUrl, found: Found, wanted: str
) -> Iterator[str]:
    """Fetch it: yields the commit, which a ref of ours holds for the block."""
    if found.ref:
        what = [f"+{found.ref}:{OURS}/wanted"]
    else:
        what = [f"+refs/heads/*:{OURS}/heads/*", f"+refs/tags/*:{OURS}/tags/*"]
    options = ["--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--progress"]
    words = ["fetch", *options, "--end-of-options", remote.text, *what]
    try:
        _forget(repository)
        remote_git(session, repository.path, words, remote)
        commit = repository.resolve(f"{OURS}/wanted") if found.ref else _commit(repository, wanted)
        if commit is None:
            raise NoSuchRef(remote=remote.shown, ref=printable(wanted), branches="Give a branch, or a whole commit id")
        yield commit
    finally:
        _forget(repository)


def _commit(repository: Repository, wanted: str) -> str | None:
    """The commit that an id, maybe shortened, stands for, if what was fetched leads to it."""
    commit = repository.find(wanted)
    words = ("for-each-ref", f"--contains={commit}", "--count=1", "--format=%(refname)", OURS)
    return commit if commit and repository.git(*words, check=False).strip() else None


def _forget(repository: Repository) -> None:
    """Remove the refs of ours, also those of a process that was killed."""
    found = repository.git("for-each-ref", "--format=delete %(refname)", OURS)
    if found:
        repository.git("update-ref", "--stdin", input=found)


@contextlib.contextmanager
def _deploy_branch(
    session: Session, app: App, repository: Repository, found: Found, first: bool, skip: bool
) -> Iterator[BranchName]:
    """The branch to move. The first sync of a branch makes that one the deploy branch, unless the block fails."""
    branch = source.deploy_branch(session, app)
    before = session.properties.get(app.id, "git", "deploy-branch")
    if not first or found.branch is None:
        yield branch
        return
    if skip:
        session.console.detail(f"Detected branch {found.branch}, skipping deploy-branch setting")
        yield branch
        return
    session.console.detail(f"Detected branch, setting deploy-branch to {found.branch}")
    session.properties.set(app.id, "git", "deploy-branch", found.branch)
    try:
        yield found.branch
        repository.set_head(found.branch)
    except BaseException:
        session.properties.set(app.id, "git", "deploy-branch", before)
        raise


def _is_new(session: Session, app: App, before: str | None, commit: str) -> bool:
    """Whether the branch moves, or its commit was never deployed. One that was rolled back stays so."""
    return commit != before or not any(
        item.commit == commit and item.status == "succeeded" for item in session.releases.all(app)
    )


def _move(repository: Repository, branch: BranchName, commit: str) -> None:
    repository.git("update-ref", "--no-deref", branch.ref, commit)
