"""The last step of a deploy: the ref moves, by git's hand after a push, by ours for a commit that we made. Where it was killed
between the commit of the release and that, whoever comes next does it, so that the repository tells what serves.
"""

from __future__ import annotations

from dataclasses import dataclass

from paas import interrupts
from paas.deploy.session import Session
from paas.model.names import BranchName
from paas.steps import step
from paas.store.accepting import keep_incoming, nobody_pushes
from paas.store.apps import App

NAMESPACE, ACCEPTING = "git", "accepting"


@dataclass(frozen=True)
class Push:
    """What is about to be accepted: `ref` becomes `commit`, and `branch` the deploy branch."""

    branch: BranchName
    ref: str
    commit: str


def promise(session: Session, app: App, push: Push) -> None:
    """Inside of the transaction that makes the release current: say what is to be accepted, and keep what that needs."""
    keep_incoming(session.repository(app))
    session.properties.set(app.id, NAMESPACE, ACCEPTING, f"{push.branch} {push.ref} {push.commit}")


def accepted(session: Session, app: App) -> None:
    """Git has done it."""
    session.properties.set(app.id, NAMESPACE, ACCEPTING, "")


def accept_own(session: Session, app: App, own: Push) -> None:
    """Accept a commit that we made, if its release serves."""
    with interrupts.shielded(), step("ref"):
        if _promised(session, app) == own:
            _accept(session, app, own)


def finish(session: Session, app: App) -> None:
    """Do it in git's place, where nobody is about to."""
    if _promised(session, app) is None:
        return
    with nobody_pushes(session.repository(app)) as quiet:
        # Once more: who pushed may just have ended.
        promised = _promised(session, app)
        if quiet and promised:
            _accept(session, app, promised)


def _promised(session: Session, app: App) -> Push | None:
    words = session.properties.get(app.id, NAMESPACE, ACCEPTING).split()
    return Push(BranchName(words[0]), *words[1:]) if words else None


def _accept(session: Session, app: App, push: Push) -> None:
    repository = session.repository(app)
    if repository.resolve(push.commit) is not None:
        repository.set_ref(push.ref, push.commit)
        settle_branch(session, app, push.branch)
    accepted(session, app)


def settle_branch(session: Session, app: App, branch: BranchName) -> None:
    """Let the branch that was deployed be the deploy branch, and say so where it was not yet."""
    if session.properties.get(app.id, NAMESPACE, "deploy-branch") != branch:
        session.properties.set(app.id, NAMESPACE, "deploy-branch", branch)
        session.repository(app).set_head(branch)
        session.console.step(f"Set {branch} as deploy-branch")
