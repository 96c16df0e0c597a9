"""What a build context has besides the files of its commit: submodules, LFS content and (git:set keep-git-dir) .git."""

from __future__ import annotations

import os
import subprocess

from paas.deploy.session import Session
from paas.deploy.source import SYNC_REMOTE, deploy_branch
from paas.deploy.sources import lfs
from paas.deploy.sources.checkout import UMASK, Checkout
from paas.deploy.sources.submodules import Submodules
from paas.model.git_url import RemoteUrl
from paas.model.names import BranchName
from paas.store.apps import App
from paas.store.git_program import ENVIRONMENT, git_words
from paas.store.repositories import GitFailed, Repository


def complete(session: Session, app: App, repository: Repository, commit: str, checkout: Checkout) -> None:
    """Add it to a checkout of the commit. Raises SubmoduleRefused, RemoteFailed, LfsMissing, GitFailed."""
    stored = session.properties.get(app.id, "git", SYNC_REMOTE)
    remote = RemoteUrl.parse(stored) if stored else None
    Submodules(session, checkout, remote).place(repository, commit)
    # The objects of a push are not in the repository yet, and it did not come from that remote.
    pushed = "GIT_QUARANTINE_PATH" in os.environ
    lfs.place(session, repository, commit, checkout.tree, None if pushed else remote)
    if session.properties.computed(app.id, "git", "keep-git-dir") == "true":
        _keep_git_dir(repository, commit, deploy_branch(session, app), checkout)


def _keep_git_dir(repository: Repository, commit: str, branch: BranchName, checkout: Checkout) -> None:
    """A .git with the history of this one commit, and nothing else of the app's repository."""
    target, here = checkout.place(".git"), "--git-dir=.git"
    # Of the tree around it nothing is read, were it a repository itself.
    own = {name: repository.environment()[name] for name in ("PATH", "HOME")} | ENVIRONMENT

    def git(*words: str, stdin: int = subprocess.DEVNULL) -> None:
        done = subprocess.run(
            [*git_words(), *words],
            cwd=checkout.tree,
            env=own,
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            umask=UMASK,
            check=False,
        )
        if done.returncode:
            reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise GitFailed(verb=next(word for word in words if word != here), reason=reason[-1] if reason else f"exit {done.returncode}")

    git("init", "--quiet", "--template=", f"--initial-branch={branch}", ".")
    words = ("pack-objects", "--revs", "--stdout", "--quiet")
    with repository.start(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as packer:
        if packer.stdin and packer.stdout:
            packer.stdin.write(f"{commit}\n".encode())
            packer.stdin.close()
            git(here, "index-pack", "--stdin", stdin=packer.stdout.fileno())
    (target / "refs/heads" / branch).parent.mkdir(parents=True, exist_ok=True)
    git(here, "update-ref", branch.ref, commit)
    git(here, "read-tree", commit)
