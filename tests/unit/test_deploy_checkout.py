"""The build context: a commit's files in a folder, kept from build to build."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from paas.deploy.session import Session
from paas.deploy.sources.checkout import Checkout
from paas.store.apps import App
from paas.store.repositories import Repository


@pytest.fixture
def repository(session: Session, app: App) -> Repository:
    found = session.repository(app)
    found.create("master")
    return found


def commit(tmp_path: Path, repository: Repository, **files: str | None) -> str:
    """A commit of these files on top of the last one; None removes a file."""

    def git(*words: str) -> str:
        name = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", *name, *words], cwd=work, capture_output=True, check=True, text=True)
        return done.stdout.strip()

    work = tmp_path / "work"
    if not work.exists():
        work.mkdir()
        git("init", "-q")
    for path, text in files.items():
        target = work / path.replace("__", "/")
        target.parent.mkdir(exist_ok=True)
        target.unlink(missing_ok=True)
        if text is not None and text.startswith("-> "):
            target.symlink_to(text[3:])
        elif text is not None:
            target.write_text(text)
    git("add", "--all")
    git("commit", "-q", "--allow-empty", "-m", "x")
    repository.git("fetch", "--quiet", str(work), "+HEAD:refs/heads/feature")
    return git("rev-parse", "HEAD")


def files(tree: Path) -> dict[str, str]:
    return {str(path.relative_to(tree)): path.read_text() for path in tree.rglob("*") if path.is_file()}


def test_it_follows_the_commits(session: Session, app: App, repository: Repository, tmp_path: Path) -> None:
    checkout = Checkout(session, app)
    first = commit(tmp_path, repository, a="1", dir__b="2")
    assert files(checkout.update(repository, first, {})) == {"a": "1", "dir/b": "2"}
    second = commit(tmp_path, repository, a="changed", dir__b=None, c="3")
    assert files(checkout.update(repository, second, {})) == {"a": "changed", "c": "3"}
    assert files(checkout.update(repository, first, {})) == {"a": "1", "dir/b": "2"}


def test_files_have_the_modes_that_an_image_needs(
    session: Session, app: App, repository: Repository, tmp_path: Path
) -> None:
    tree = Checkout(session, app).update(repository, commit(tmp_path, repository, dir__b="2"), {})
    assert [oct(path.stat().st_mode & 0o777) for path in (tree, tree / "dir", tree / "dir/b")] == ["0o755", "0o755", "0o644"]
    assert oct(tree.parent.stat().st_mode & 0o777) == "0o700"


def test_what_is_put_beside_them_replaces_and_goes_again(
    session: Session, app: App, repository: Repository, tmp_path: Path
) -> None:
    checkout = Checkout(session, app)
    only = commit(tmp_path, repository, a="1")
    assert files(checkout.update(repository, only, {".env": b"X=1"})) == {"a": "1", ".env": "X=1"}
    assert files(checkout.update(repository, only, {".env": None})) == {"a": "1"}
    committed = commit(tmp_path, repository, **{".env": "committed"})
    assert files(checkout.update(repository, committed, {".env": b"ours"}))[".env"] == "ours"
    assert files(checkout.update(repository, committed, {".env": None}))[".env"] == "committed"


def test_a_link_is_replaced_and_not_followed(
    session: Session, app: App, repository: Repository, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    linked = commit(tmp_path, repository, **{".env": f"-> {outside}"})
    tree = Checkout(session, app).update(repository, linked, {".env": b"ours"})
    assert (tree / ".env").read_text() == "ours" and outside.read_text() == "untouched"


def test_what_a_killed_process_left_is_thrown_away(
    session: Session, app: App, repository: Repository, tmp_path: Path
) -> None:
    checkout = Checkout(session, app)
    only = commit(tmp_path, repository, a="1")
    tree = checkout.update(repository, only, {})
    (tree / "a").write_text("half")
    (tree / "garbage").write_text("x")
    (checkout.folder / "changing").touch()
    (checkout.folder / "index.lock").touch()
    assert files(checkout.update(repository, only, {})) == {"a": "1"}
