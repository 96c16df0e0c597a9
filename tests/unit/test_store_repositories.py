"""Bare repositories: files are read as blobs, also from the quarantine of a push."""

from __future__ import annotations

import contextlib
import os
import subprocess
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from dulwich.index import commit_tree
from dulwich.object_store import BaseObjectStore, DiskObjectStore
from dulwich.objects import Blob, Commit, Tag

from paas.settings import Settings
from paas.store.database import Database
from paas.store.repositories import MAX_FILE_BYTES, GitFailed, Repository, UnreadableFile

FILE, LINK, SUBMODULE = 0o100644, 0o120000, 0o160000
AUTHOR = b"Test <test@example.com>"


@pytest.fixture
def repository(settings: Settings, database: Database) -> Iterator[Repository]:
    with contextlib.closing(Repository(settings, "app")) as found:
        found.create("master")
        yield found


def write_commit(store: BaseObjectStore, files: Iterable[tuple[str, int, bytes]], message: str = "m") -> str:
    entries = []
    for path, mode, data in files:
        blob = Blob.from_string(data)
        if mode != SUBMODULE:
            store.add_object(blob)
        entries.append((path.encode(), blob.id if mode != SUBMODULE else data, mode))
    commit = Commit()
    commit.tree = commit_tree(store, entries)
    commit.author = commit.committer = AUTHOR
    commit.author_time = commit.commit_time = 1_700_000_000
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = message.encode()
    store.add_object(commit)
    return commit.id.decode()


def test_a_repository_is_made_once_and_git_knows_it(repository: Repository) -> None:
    repository.create("other")
    assert repository.git("symbolic-ref", "HEAD") == b"refs/heads/master\n"
    assert repository.git("rev-parse", "--is-bare-repository") == b"true\n"
    assert repository.git("fsck") == b""
    assert repository.branches() == {}
    assert [path.name for path in repository.path.parent.iterdir()] == ["app.git"]


def test_a_missing_repository_reads_as_empty(settings: Settings, database: Database) -> None:
    missing = Repository(settings, "nope")
    assert (missing.exists, missing.branches(), missing.resolve("refs/heads/master")) == (False, {}, None)
    missing.rename("other")
    missing.remove()


def test_files_are_read_from_the_tree(repository: Repository) -> None:
    data = b"web: x\n\0\xff"
    commit = write_commit(repository.objects, [("Procfile", FILE, data), ("run", 0o100755, b"#!"), ("a/b/c", FILE, b"deep")])
    assert repository.read(commit, "Procfile") == data
    assert repository.read(commit, "run") == b"#!"
    assert repository.read(commit, "a/b/c") == b"deep"


@pytest.mark.parametrize("path", ["procfile", "Procfile/x", "a", "../Procfile", "x/y/z"])
def test_a_missing_file_is_none(repository: Repository, path: str) -> None:
    commit = write_commit(repository.objects, [("Procfile", FILE, b"web: x")])
    assert repository.read(commit, path) is None
    assert repository.read("0" * 40, "Procfile") is None


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        (("Procfile", LINK, b"/etc/shadow"), "a symbolic link"),
        (("Procfile", SUBMODULE, b"1" * 40), "a submodule"),
        (("Procfile/inside", FILE, b"x"), "a folder"),
        (("Procfile", FILE, b"x" * (MAX_FILE_BYTES + 1)), f"{MAX_FILE_BYTES + 1} bytes long"),
    ],
    ids=["link", "submodule", "folder", "huge"],
)
def test_what_is_no_ordinary_file_is_told(
    repository: Repository, entry: tuple[str, int, bytes], what: str
) -> None:
    commit = write_commit(repository.objects, [entry])
    with pytest.raises(UnreadableFile, match=f"Procfile in the commit is {what}"):
        repository.read(commit, "Procfile")


def test_a_file_of_just_the_allowed_size(repository: Repository) -> None:
    commit = write_commit(repository.objects, [("Procfile", FILE, b"x" * MAX_FILE_BYTES)])
    assert repository.read(commit, "Procfile") == b"x" * MAX_FILE_BYTES


def test_refs_resolve_to_commits(repository: Repository) -> None:
    commit = write_commit(repository.objects, [("f", FILE, b"x")], "Deploy\n\nImage-Id: y\n")
    repository.git("update-ref", "refs/heads/feature/x", commit)
    repository.git("update-ref", "refs/heads/a", commit)
    repository.git("pack-refs", "--all")
    tag = Tag()
    tag.name, tag.object, tag.tagger, tag.message = b"v1", (Commit, commit.encode()), AUTHOR, b"t"
    tag.tag_time, tag.tag_timezone = 1_700_000_000, 0
    repository.objects.add_object(tag)
    for name in ("refs/heads/feature/x", commit, tag.id.decode()):
        assert repository.resolve(name) == commit
    for name in ("refs/heads/nope", "0" * 40, "feature/x"):
        assert repository.resolve(name) is None
    assert repository.resolve(repository.tree_id(commit)) is None
    assert list(repository.branches().items()) == [("a", commit), ("feature/x", commit)]
    assert repository.message(commit) == "Deploy\n\nImage-Id: y\n"


def test_a_push_in_progress_is_read_from_its_quarantine(
    repository: Repository, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = write_commit(repository.objects, [("Procfile", FILE, b"old")])
    quarantine = DiskObjectStore.init(str(tmp_path / "quarantine"))
    arriving = write_commit(quarantine, [("Procfile", FILE, b"new")])
    assert Repository(settings, "app").read(arriving, "Procfile") is None
    monkeypatch.setenv("GIT_QUARANTINE_PATH", str(tmp_path / "quarantine"))
    below_the_hook = Repository(settings, "app")
    assert below_the_hook.read(arriving, "Procfile") == b"new"
    assert below_the_hook.read(known, "Procfile") == b"old"
    assert below_the_hook.resolve(arriving) == arriving


def test_what_a_large_push_brings_is_a_pack_in_its_quarantine(
    repository: Repository, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = write_commit(repository.objects, [("Procfile", FILE, b"known and packed")])
    repository.git("update-ref", "refs/heads/master", known)
    repository.git("gc", "--quiet")
    quarantine = DiskObjectStore.init(str(tmp_path / "quarantine"))
    arriving = write_commit(quarantine, [("Procfile", FILE, b"arriving and packed"), ("big", FILE, b"x" * (MAX_FILE_BYTES + 1))])
    quarantine.pack_loose_objects()
    assert not [path for path in (tmp_path / "quarantine").glob("??/*") if path.is_file()]
    monkeypatch.setenv("GIT_QUARANTINE_PATH", str(tmp_path / "quarantine"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "quarantine"))
    monkeypatch.setenv("GIT_ALTERNATE_OBJECT_DIRECTORIES", str(repository.path / "objects"))
    with contextlib.closing(Repository(settings, "app")) as below_the_hook, contextlib.closing(quarantine):
        assert below_the_hook.resolve(arriving) == arriving
        assert below_the_hook.resolve("refs/heads/master") == known
        assert below_the_hook.read(arriving, "Procfile") == b"arriving and packed"
        assert below_the_hook.read(known, "Procfile") == b"known and packed"
        with pytest.raises(UnreadableFile, match=f"{MAX_FILE_BYTES + 1} bytes"):
            below_the_hook.read(arriving, "big")


def test_a_giant_is_not_unpacked_to_be_refused(repository: Repository) -> None:
    """Attack: some bytes that stand for a gigabyte, in a file that every deploy reads."""
    commit = write_commit(repository.objects, [("Procfile", FILE, b"x")])
    path = next(path for path in repository.path.glob("objects/??/*") if zlib.decompress(path.read_bytes()).startswith(b"blob"))
    path.chmod(0o644)
    # What says how much it is, and nothing after it.
    path.write_bytes(zlib.compress(b"blob %d\0" % (5 << 30)))
    with pytest.raises(UnreadableFile, match=f"{5 << 30} bytes long"):
        repository.read(commit, "Procfile")


def test_everything_of_a_commit_is_listed_and_listing_can_stop(repository: Repository) -> None:
    files = [("a/b", FILE, b"123"), ("link", LINK, b"a/b"), ("odd\nname\t", FILE, b""), ("sub", SUBMODULE, b"1" * 40)]
    commit = write_commit(repository.objects, files)
    found = {item.path: item.size for item in repository.listed(commit)}
    assert found == {"a": 0, "a/b": 3, "link": 3, "odd\nname\t": 0, "sub": 0}
    assert next(iter(repository.listed(commit))).path == "a"
    with pytest.raises(GitFailed, match="ls-tree"):
        list(repository.listed("0" * 40))


def test_git_reads_no_other_protocol(repository: Repository, tmp_path: Path) -> None:
    for url in (f"ext::touch {tmp_path}/owned", "https://127.0.0.1:1/x", "git://127.0.0.1:1/x", "ssh://127.0.0.1:1/x"):
        with pytest.raises(GitFailed, match="not allowed"):
            repository.git("fetch", url)
    assert not (tmp_path / "owned").exists()


def test_packed_objects_are_read(repository: Repository, tmp_path: Path) -> None:
    commit = write_commit(repository.objects, [("Procfile", FILE, b"packed")])
    repository.git("update-ref", "refs/heads/master", commit)
    repository.git("gc", "--quiet", "--prune=now")
    assert not list(repository.path.glob("objects/??"))
    with contextlib.closing(Repository(repository.settings, "app")) as again:
        assert again.read(commit, "Procfile") == b"packed"
        again.close()
        assert again.read(commit, "Procfile") == b"packed"


def test_renaming_and_removing(repository: Repository, settings: Settings) -> None:
    repository.rename("other")
    assert not repository.exists and Repository(settings, "other").exists
    Repository(settings, "other").remove()
    assert list(settings.repositories_dir.iterdir()) == []


def test_a_clone_gets_the_head_that_was_set(repository: Repository) -> None:
    repository.set_head("main")
    assert (repository.path / "HEAD").read_text() == "ref: refs/heads/main\n"


def test_a_failing_git_command_is_one_line(repository: Repository) -> None:
    with pytest.raises(GitFailed, match="git rev-parse failed: ") as caught:
        repository.git("rev-parse", "--verify", "nope")
    assert len(caught.value.lines) == 1
    assert repository.git("rev-parse", "--verify", "--quiet", "nope", check=False) == b""


def test_git_reads_no_settings_but_ours(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gitconfig").write_text("[core]\n\tpager = false\n[user]\n\tname = Stranger\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert repository.git("config", "user.name", check=False) == b""
    assert "GIT_DIR" not in repository.environment()


def test_an_archive_is_the_commit_whatever_its_attributes_say(repository: Repository) -> None:
    files = [(".gitattributes", FILE, b"secret export-ignore\nid export-subst\n"), ("secret", FILE, b"s"), ("id", FILE, b"$Format:%H$")]
    commit = write_commit(repository.objects, files)
    tar = subprocess.run(
        repository.command("archive", "--format=tar", commit),
        cwd=repository.path,
        env=repository.environment(),
        capture_output=True,
        check=True,
    ).stdout
    listed = subprocess.run(["tar", "-xO", "id", "secret"], input=tar, capture_output=True, check=True).stdout
    assert listed in (b"$Format:%H$s", b"s$Format:%H$")
    assert os.environ.get("GIT_DIR") is None
