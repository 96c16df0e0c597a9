"""Nobody but the user of paas reads or writes its files: every kind of feature is used, then the tree is walked."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import MakeImage
from support.doors import Door
from support.repo import Repo
from support.server import Paas

PASSPHRASE = "horse-battery"
PLUGIN = {
    "plugin.toml": 'name = "quiet"\nversion = "1.0"\ndescription = "Does nothing"\n',
    "__init__.py": '"""Does nothing."""\n',
}
# Files of a push have the modes that the push gave them, as they are copied into an image; git makes its objects
# read-only. Both lie below folders that others can't enter, which is tested too.
OPEN_INSIDE = ("checkouts/*/tree", "checkouts/*/index", "repositories/*/objects/*", "plugins/*")


@pytest.fixture(scope="module")
def used(paas: Paas, make_image: MakeImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root of an installation that has done everything once."""
    folder = tmp_path_factory.mktemp("used")
    (folder / "quiet").mkdir()
    for name, text in PLUGIN.items():
        (folder / "quiet" / name).write_text(text)
    repo = Repo(folder / "repo")
    app_json = {"cron": [{"command": "true", "schedule": "0 0 1 1 *"}], "scripts": {"predeploy": "true"}}
    repo.write({"Dockerfile": "FROM paas-test/web\n", "app.json": json.dumps(app_json), "sub/file": "x"})
    repo.git("add", ".").ok()
    repo.git("commit", "-qm", "one").ok()
    paas.command("apps:create", "mod").ok()
    archive = repo.git("archive", "HEAD").out.encode("latin-1", "replace")
    paas.command("git:from-archive", "mod", "--", input=archive)
    for words in (
        ("git:from-image", "mod", make_image("modes", "VOLUME /data")),
        ("config:set", "mod", "SECRET=hush"),
        ("certs:generate", "mod", "mod.example.com"),
        ("domains:add", "mod", "mod.example.com"),
        ("ports:set", "mod", "http:80:5000", "https:443:5000"),
        ("registry:login", "mod", "registry.example.com", "ann", "pw"),
        ("storage:ensure-directory", "mod"),
        ("storage:mount", "mod", f"{paas.root}/storage/mod:/files"),
        ("docker-options:add", "mod", "build", "--label=a=b"),
        ("http-auth:enable", "mod", "ann", "pw"),
        ("maintenance:enable", "mod"),
        ("redirect:set", "mod", "old.example.com", "mod.example.com"),
        ("network:create", "modes"),
        ("git:generate-deploy-key",),
        ("git:auth", "git.example.com", "ann", "pw"),
        ("plugin:install", str(folder / "quiet")),
        ("run:detached", "mod", "sleep", "100"),
        ("ps:scale", "mod", "web=2"),
        ("logs:set", "mod", "max-size", "1m"),
        ("builds:list", "mod"),
        ("events", "--num", "1"),
        ("doctor",),
        ("cleanup",),
    ):
        paas.command(*words, input="y\n")
    paas.command("apps:clone", "mod", "mod-two")
    paas.command("backup:create", str(folder / "backup"), input=f"{PASSPHRASE}\n").ok()
    yield paas.root
    assert (folder / "backup").stat().st_mode & 0o777 == 0o600


def push(door: Door, repo: Repo) -> None:
    repo.write({"Dockerfile": "FROM paas-test/shell\nRUN true\n", "bin/tool": "x"}, executable=True)
    repo.git("add", ".").ok()
    repo.git("commit", "-qm", "one").ok()
    repo.git("push", "-q", door.remote("pushed"), "main", env=door.git_env()).ok()


def entries(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for folder, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(folder) / name
            try:
                found = path.lstat()
            except FileNotFoundError:  # It came and went.
                continue
            if not stat.S_ISLNK(found.st_mode):
                yield path, found


def test_nobody_else_reads_or_writes(used: Path, host: Door, repo: Repo) -> None:
    push(host, repo)
    assert stat.S_IMODE(used.stat().st_mode) == 0o700
    seen, wrong = set(), []
    for path, found in entries(used):
        relative = path.relative_to(used)
        seen.add(relative.parts[0])
        mode = stat.S_IMODE(found.st_mode)
        allowed = 0o700
        if any(relative.match(pattern) or parent_matches(relative, pattern) for pattern in OPEN_INSIDE):
            allowed = 0o755
        elif relative.parts[0] == "storage":
            # A storage folder is its container's: the owner and mode that storage:ensure-directory was told.
            allowed = 0o755
        if mode & ~allowed & 0o777 or mode & (stat.S_ISUID | stat.S_ISGID):
            wrong.append(f"{mode:o} {relative}")
        assert found.st_uid == os.getuid() or relative.parts[0] == "storage", relative
    assert wrong == []
    assert {".ssh", "cache", "locks", "operations", "paas.db", "repositories", "router", "run",
            "secret.key", "settings.env", "ssh", "storage", "plugins"} <= seen  # fmt: skip
    for closed in ("checkouts", "repositories", "plugins"):
        assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in used.glob(f"{closed}/*") if path.is_dir())


def parent_matches(relative: Path, pattern: str) -> bool:
    return any(parent.match(pattern) for parent in relative.parents)


def test_sockets_are_their_owners(used: Path) -> None:
    sockets = [path for path, found in entries(used) if stat.S_ISSOCK(found.st_mode)]
    assert {path.name for path in sockets} >= {"paas.sock"}
    assert [path for path in sockets if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_nothing_of_ours_lies_about(used: Path) -> None:
    """Drafts, spools and the like are gone when commands have ended."""
    assert [path.name for path in (used / "run").iterdir() if path.name.startswith(("commit-", "tmp"))] == []
