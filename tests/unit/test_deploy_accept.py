"""A push that was killed after its switch: whoever comes next moves the ref in git's place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paas.deploy.accept import Push, accepted, finish, promise
from paas.deploy.session import Session
from paas.model.names import BranchName
from paas.store.apps import App
from paas.store.drafts import drafted
from paas.store.incoming import receiving
from paas.store.repositories import Repository

MAIN = BranchName("main")


@pytest.fixture
def push(session: Session, app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Push:
    """One that git has not accepted: its objects lie in a quarantine, as for a hook."""
    repository = session.repository(app)
    repository.create("master")
    quarantine = repository.path / "objects" / "tmp_objdir-incoming-x"
    with drafted(repository) as draft:
        tree = draft.tree({"page": (0o100644, draft.add([b"hello"], 5))})
        commit = draft.commit(tree, None, b"A <a@example.com>", "First\n")
        os.rename(draft.folder, quarantine)  # noqa: PTH104
    monkeypatch.setenv("GIT_QUARANTINE_PATH", str(quarantine))
    return Push(MAIN, MAIN.ref, commit)


def head(session: Session, app: App) -> str | None:
    return Repository(session.settings, app.name).resolve(MAIN.ref)


def killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hook is gone, and git with it."""
    monkeypatch.delenv("GIT_QUARANTINE_PATH")


def test_the_next_one_moves_the_ref(
    session: Session, app: App, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session.database.transaction():
        promise(session, app, push)
    killed(monkeypatch)
    assert head(session, app) is None
    finish(session, app)
    repository = Repository(session.settings, app.name)
    assert head(session, app) == push.commit
    assert repository.read(push.commit, "page") == b"hello"
    assert session.properties.get(app.id, "git", "deploy-branch") == "main"
    assert (repository.path / "HEAD").read_text() == "ref: refs/heads/main\n"
    # Once: what moves the branch later is not taken back.
    repository.git("update-ref", "-d", MAIN.ref)
    finish(session, app)
    assert head(session, app) is None


def test_not_while_git_is_about_to(
    session: Session, app: App, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise(session, app, push)
    killed(monkeypatch)
    with receiving(session.repository(app).path):
        finish(session, app)
        assert head(session, app) is None
    finish(session, app)
    assert head(session, app) == push.commit


def test_what_git_has_accepted_is_left_alone(
    session: Session, app: App, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise(session, app, push)
    killed(monkeypatch)
    accepted(session, app)
    finish(session, app)
    assert head(session, app) is None


def test_a_commit_that_is_lost_stops_nothing(session: Session, app: App, push: Push) -> None:
    promise(session, app, Push(MAIN, MAIN.ref, "1" * 40))
    finish(session, app)
    assert (head(session, app), session.properties.get(app.id, "git", "accepting")) == (None, "")
