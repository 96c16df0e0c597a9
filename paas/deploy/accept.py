"""The last step of a push's deploy: git moves the ref. Where it was killed between the commit of the release and that, whoever
comes next does it, so that the repository tells what serves.
"""

from __future__ import annotations

from dataclasses import dataclass

from paas.deploy.session import Session
from paas.model.names import BranchName
from paas.store.accepting import keep_incoming, nobody_pushes
from paas.store.apps import App

NAMESPACE, ACCEPTING = "git", "accepting"


@dataclass(frozen=True)
class Push:
    """What git is about to accept: `ref` becomes `commit`, and `branch` the deploy branch."""

    branch: BranchName
    ref: str
    commit: str


def promise(session: Session, app: App, push: Push) -> None:
    """Inside of the transaction that makes the release current: say what git has to accept, and keep what it needs."""
    keep_incoming(session.repository(app))
    session.properties.set(app.id, NAMESPACE, ACCEPTING, f"{push.branch} {push.ref} {push.commit}")


def accepted(session: Session, app: App) -> None:
    """Git has done it."""
    session.properties.set(app.id, NAMESPACE, ACCEPTING, "")


def finish(session: Session, app: App) -> None:
    """Do it in git's place, where nobody is about to."""
    if not session.properties.get(app.id, NAMESPACE, ACCEPTING):
        return
    repository = session.repository(app)
    with nobody_pushes(repository) as quiet:
        # Once more: who pushed may just have ended.
        promised = session.properties.get(app.id, NAMESPACE, ACCEPTING)
        if not quiet or not promised:
            return
        branch, ref, commit = promised.split()
        if repository.resolve(commit) is not None:
            repository.git("update-ref", ref, commit)
            settle_branch(session, app, BranchName(branch))
        accepted(session, app)


def settle_branch(session: Session, app: App, branch: BranchName) -> bool:
    """Let the branch that was deployed be the deploy branch. Whether it was not yet."""
    if session.properties.get(app.id, NAMESPACE, "deploy-branch") == branch:
        return False
    session.properties.set(app.id, NAMESPACE, "deploy-branch", branch)
    session.repository(app).set_head(branch)
    return True
