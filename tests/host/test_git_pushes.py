"""What comes and goes by git: branches, tags, paths, refused refs and objects, clones."""

from __future__ import annotations

import shutil
import subprocess

import docker
import pytest
from support.clients import until
from support.doors import Door
from support.repo import Repo
from support.server import Result
from support.state import difference, operations, releases, state_of

WEB = "paas-test/web"
DECLINED = "pre-receive hook declined"


def page(repo: Repo, greeting: str) -> str:
    """Commit a Dockerfile whose app greets so."""
    repo.write({"Dockerfile": f"FROM {WEB}\nENV GREETING={greeting}\n"})
    return repo.commit()


def push(door: Door, repo: Repo, app: str, *words: str) -> Result:
    return repo.git("push", *words[:-1], door.remote(app), words[-1], env=door.git_env())


def heads(door: Door, repo: Repo, app: str) -> dict[str, str]:
    """Commit by ref, as the app's repository tells it."""
    listed = repo.git("ls-remote", "--refs", door.remote(app), env=door.git_env()).ok()
    return {ref: commit for commit, ref in (line.split("\t") for line in listed.splitlines())}


def test_another_branch_is_stored_and_can_become_the_deploy_branch(door: Door, repo: Repo) -> None:
    app = f"branches-{door.name}"
    first = page(repo, "First")
    push(door, repo, app, "main").ok()
    second = page(repo, "Second")
    stored = push(door, repo, app, "HEAD:feature/x")
    assert stored.code == 0
    assert "Stored feature/x, not deployed: the deploy branch of" in stored.err
    assert "<h1>First" in door.paas.http_get(app).body
    assert heads(door, repo, app) == {"refs/heads/main": first, "refs/heads/feature/x": second}
    refused = push(door, repo, app, ":main")
    assert refused.code == 1
    assert "main is the deploy branch of" in refused.err and DECLINED in refused.err
    assert heads(door, repo, app)["refs/heads/main"] == first
    door.ssh("git:set", app, "deploy-branch", "feature/x").ok()
    third = page(repo, "Third")
    push(door, repo, app, "HEAD:feature/x").ok()
    assert "<h1>Third" in door.paas.http_get(app).body
    push(door, repo, app, ":main").ok()
    assert heads(door, repo, app) == {"refs/heads/feature/x": third}


def test_a_push_that_fails_is_refused_and_a_mended_one_goes_through(
    door: Door, repo: Repo, engine: docker.DockerClient
) -> None:
    app = f"mended-{door.name}"
    page(repo, "Good")
    push(door, repo, app, "main").ok()
    before = state_of(door.paas, engine, app)
    repo.write({"Dockerfile": f'FROM {WEB}\nRUN ["/bin/busybox", "sh", "-c", "echo oh no; exit 3"]\n'})
    repo.commit()
    refused = push(door, repo, app, "main")
    assert refused.code == 1
    assert "oh no" in refused.err and DECLINED in refused.err
    assert difference(before, state_of(door.paas, engine, app)) == {}
    page(repo, "Mended")
    push(door, repo, app, "main").ok()
    assert "<h1>Mended" in door.paas.http_get(app).body


def test_several_refs_in_one_push(door: Door, repo: Repo) -> None:
    app = f"refs-{door.name}"
    commit = page(repo, "Refs")
    for name in ("v1", "odd'name", 'a;touch$IFS', "ünïcode", "$(id)", "`id`"):
        repo.git("update-ref", f"refs/heads/{name}", commit).ok()
    repo.git("tag", "-a", "-m", "A tag", "release-1").ok()
    pushed = push(door, repo, app, "--tags", "refs/heads/*:refs/heads/*")
    assert pushed.code == 0, pushed.err
    found = heads(door, repo, app)
    assert len(found) == 8
    assert {ref for ref in found if ref.startswith("refs/tags/")} == {"refs/tags/release-1"}
    assert found["refs/heads/ünïcode"] == commit
    assert [item["commit"] for item in releases(door.paas, app)] == [commit]
    assert "<h1>Refs" in door.paas.http_get(app).body


def test_more_objects_than_git_unpacks(door: Door, repo: Repo) -> None:
    """git keeps a push of a hundred objects or more as the pack that it is."""
    app = f"packed-{door.name}"
    repo.write({f"files/{number}": f"{number}\n" for number in range(150)})
    page(repo, "Packed")
    pushed = push(door, repo, app, "main")
    assert pushed.code == 0, pushed.err
    assert "<h1>Packed" in door.paas.http_get(app).body
    page(repo, "Next")
    push(door, repo, app, "main").ok()
    assert "<h1>Next" in door.paas.http_get(app).body


def test_all_forms_of_the_path_name_the_app(door: Door, repo: Repo) -> None:
    app = f"paths-{door.name}"
    commit = page(repo, "Paths")
    push(door, repo, f"production/{app}.git", "main").ok()
    for path in (app, f"{app}.git", f"/{app}", f"/{app}.git", f"production/{app}.git"):
        assert heads(door, repo, path) == {"refs/heads/main": commit}, path
    for path in (f"../{app}", f"repositories/../{app}", f"a/b/{app}", f"{app}.git/../x", "~root"):
        refused = repo.git("ls-remote", door.remote(path), env=door.git_env())
        assert refused.code == 128, path
        assert refused.err.startswith(" !     "), refused.err
    assert door.ssh("apps:list").ok().count(app) == 1


def test_what_was_deployed_can_be_cloned(door: Door, repo: Repo) -> None:
    app = f"cloned-{door.name}"
    door.ssh("apps:create", app).ok()
    door.ssh("git:from-image", app, WEB, "'Ann Other'", "ann@example.com").ok()
    repo.git("clone", "-q", door.remote(app), "copy", env=door.git_env()).ok()
    assert (repo.path / "copy/Dockerfile").read_text() == f"FROM {WEB}\n"
    log = repo.git("-C", "copy", "log", "--format=%an <%ae> %s").ok()
    assert log == f"Ann Other <ann@example.com> Deploy {WEB}\n"


def test_a_manifest_that_is_a_link_is_refused(door: Door, repo: Repo) -> None:
    """Vulnerability: a link in a pushed tree is followed to a file of the host. Attack: Procfile -> /etc/passwd."""
    app = f"links-{door.name}"
    for name in ("Procfile", ".aptible.yml", "app.json"):
        page(repo, "Links")
        (repo.path / name).symlink_to("/etc/passwd")
        repo.commit()
        refused = push(door, repo, app, "main")
        assert refused.code == 1
        assert f"{name} in the commit is " in refused.err and DECLINED in refused.err
        assert "root:" not in refused.err
        (repo.path / name).unlink()
    assert heads(door, repo, app) == {}
    assert releases(door.paas, app) == []


def test_objects_that_are_no_sound_history_are_refused(door: Door, repo: Repo) -> None:
    """Vulnerability: a tree with the path .git/config is checked out somewhere. Attack: push such a tree."""
    app = f"garbage-{door.name}"
    page(repo, "Fine")
    blob = repo.git("rev-parse", "HEAD:Dockerfile").ok().strip()
    entry = b"100644 config\0" + bytes.fromhex(blob)
    inner = _object(repo, "tree", entry)
    tree = _object(repo, "tree", b"40000 .git\0" + bytes.fromhex(inner))
    commit = repo.git("commit-tree", "-m", "Evil", tree).ok().strip()
    refused = push(door, repo, app, f"{commit}:refs/heads/main")
    assert refused.code == 1
    assert "hasDotgit" in refused.err
    no_author = _object(repo, "commit", f"tree {repo.git('rev-parse', 'HEAD^{tree}').ok()}\nNo author\n".encode())
    refused = push(door, repo, app, f"{no_author}:refs/heads/main")
    assert refused.code == 1
    assert "missingAuthor" in refused.err
    assert heads(door, repo, app) == {}


def _object(repo: Repo, kind: str, data: bytes) -> str:
    words = ["git", "hash-object", "--literally", "-w", "-t", kind, "--stdin"]
    done = subprocess.run(words, cwd=repo.path, input=data, capture_output=True, check=True)
    return done.stdout.decode().strip()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"Procfile": "web: true\nno colon here\n"}, "line 2"),
        ({".aptible.yml": "before_release:\n  - a\n b: [\n"}, "line "),
        ({"app.json": '{"healthchecks": \n!}'}, "line 2"),
        ({"Dockerfile": ""}, ""),
    ],
    ids=["Procfile", ".aptible.yml", "app.json", "empty Dockerfile"],
)
def test_unreadable_files_are_told_with_their_line(
    host: Door, repo: Repo, files: dict[str, str], message: str
) -> None:
    app = "unreadable"
    page(repo, "Unreadable")
    repo.write(files)
    repo.commit()
    refused = push(host, repo, app, "--force", "main")
    assert refused.code == 1
    said = [line for line in refused.err.splitlines() if line.startswith("remote:  !     ")]
    assert len(said) == 1
    assert message in said[0] and next(iter(files)) in said[0]
    assert DECLINED in refused.err
    assert releases(host.paas, app) == []


def test_a_repository_of_many_files_is_packed_after_a_deploy(host: Door, repo: Repo) -> None:
    repo.write({"Dockerfile": f"FROM {WEB}\nSTOPSIGNAL SIGKILL\n"})
    repo.commit()
    push(host, repo, "loose", "main").ok()
    bare = host.paas.root / "repositories/loose.git"
    # As after hundreds of pushes.
    repo.write({f"{number}": f"{number}" for number in range(1200)})
    commit = repo.commit("Many")
    shutil.copytree(repo.path / ".git/objects", bare / "objects", dirs_exist_ok=True)
    repo.git("--git-dir", str(bare), "update-ref", "refs/heads/many", commit).ok()
    host.ssh("checks:set", "loose", "wait-to-retire", "1").ok()
    host.ssh("config:set", "loose", "GREETING=Two").ok()
    until(lambda: [item["status"] for item in operations(host.paas, "loose") if item["kind"] == "repo:gc"] == ["succeeded"])
    assert len(list(bare.glob("objects/[0-9a-f][0-9a-f]/*"))) < 100
    assert heads(host, repo, "loose")["refs/heads/many"] == commit
    assert operations(host.paas, "loose")[0]["caller"] == "agent"
