"""An image, written down as a commit."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.in_process import engine_image

from paas.deploy.session import Session
from paas.deploy.source import (
    Author,
    ImageCommit,
    InvalidAuthor,
    InvalidBuildDir,
    check_build_dir,
    committed_image_id,
    deploy_branch,
    image_commit,
)
from paas.model.image import ImageRef
from paas.model.names import AppName
from paas.store.accepting import keep_incoming
from paas.store.apps import App
from paas.store.properties import GLOBAL

IMAGE = engine_image()
REF = ImageRef.parse("quay.io/o/web:42")


@pytest.fixture
def app(session: Session) -> App:
    made = session.apps.create(AppName("a"))
    session.repository(made).create("master")
    return made


def commit_of(session: Session, app: App, author: Author, build_dir: Path | None = None) -> ImageCommit:
    return image_commit(session, app, REF, IMAGE, author, str(build_dir) if build_dir else None)


def show(commit: ImageCommit, *words: str) -> bytes:
    with commit.written() as commit_id:
        return commit.repository.git(*words, commit_id)


def test_the_image_id_is_found_in_the_commits_message(session: Session, app: App) -> None:
    commit = commit_of(session, app, Author())
    assert committed_image_id(commit.message) == IMAGE.id
    assert commit.files == {"Dockerfile": (0o100644, b"FROM quay.io/o/web:42\n")}


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("", None),
        ("Image-Id", None),
        ("image-id: x", None),
        ("Image-Id: x", "x"),
        ("Deploy\n\nImage-Id: one\nImage-Id: two \n", "two"),
        ("Deploy\r\n\r\nImage-Id: one\r\n", "one"),
        (" Image-Id: x", None),
    ],
)
def test_a_message_says_an_image_id_or_none(message: str, found: str | None) -> None:
    assert committed_image_id(message) == found


def test_the_commit_is_one_that_git_reads(session: Session, app: App) -> None:
    commit = commit_of(session, app, Author.parse("Ann O'Neil \"x\" ü", "ann@example.com"))
    assert show(commit, "log", "-1", "--format=%an|%ae|%cn|%s|%P") == (
        "Ann O'Neil \"x\" ü|ann@example.com|Ann O'Neil \"x\" ü|Deploy quay.io/o/web:42|\n".encode()
    )
    assert show(commit, "ls-tree", "-r", "--name-only") == b"Dockerfile\n"
    assert show(commit, "fsck", "--strict") == b""
    assert list(session.settings.run_dir.iterdir()) == []


def test_the_deploy_branchs_commit_is_the_parent(session: Session, app: App) -> None:
    repository = session.repository(app)
    with commit_of(session, app, Author()).written() as first:
        keep_incoming(repository)
    repository.set_ref("refs/heads/master", first)
    commit = commit_of(session, app, Author())
    assert commit.parent == first
    assert show(commit, "log", "--format=%H").split()[1].decode() == first


def test_the_same_files_have_the_same_tree(session: Session, app: App) -> None:
    trees = set()
    for author in (Author(), Author("Other", "o@x")):
        commit = commit_of(session, app, author)
        trees.add(commit.tree_id)
        assert show(commit, "log", "--format=%T").decode().strip() == commit.tree_id
    assert len(trees) == 1


def test_authors() -> None:
    assert Author.parse("", " ").line() == b"Dokku <automated@dokku.sh>"
    assert Author.parse("Ann", "").line() == b"Ann <automated@dokku.sh>"


@pytest.mark.parametrize("text", ["a<b", "a>b", "a\nb", "a\0", "a\rb", "\x1b[31m", "\udc80"])
def test_what_git_can_not_store_in_an_author(text: str) -> None:
    for name, email in ((text, "e@x"), ("Ann", text)):
        with pytest.raises(InvalidAuthor) as caught:
            Author.parse(name, email)
        assert len(caught.value.lines) == 1 and str(caught.value).isprintable()


def test_a_build_dir_comes_along(session: Session, app: App, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / ".git").mkdir()
    (source / ".git/config").write_text("no")
    (source / "Dockerfile").write_text("ARG X=1")
    (source / "sub/run").write_text("#!/bin/sh\n")
    (source / "sub/run").chmod(0o755)
    (source / "secret").symlink_to("/etc/shadow")
    (source / "folder").symlink_to("/etc")
    commit = commit_of(session, app, Author(), source)
    assert commit.files == {
        "Dockerfile": (0o100644, b"ARG X=1\nFROM quay.io/o/web:42\n"),
        "sub/run": (0o100755, b"#!/bin/sh\n"),
        "secret": (0o120000, b"/etc/shadow"),
        "folder": (0o120000, b"/etc"),
    }
    assert show(commit, "fsck", "--strict") == b""


@pytest.mark.parametrize("name", ["", "missing", "file"])
def test_what_is_no_build_dir(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidBuildDir):
        check_build_dir(str(tmp_path / name) if name else "")


def test_the_deploy_branch_is_the_apps_or_the_global_one_or_master(session: Session, app: App) -> None:
    assert deploy_branch(session, app) == "master"
    session.properties.set(GLOBAL, "git", "deploy-branch", "main")
    assert deploy_branch(session, app) == "main"
    session.properties.set(app.id, "git", "deploy-branch", "live")
    assert deploy_branch(session, app).ref == "refs/heads/live"
