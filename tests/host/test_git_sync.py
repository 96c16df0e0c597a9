"""git:sync against real servers: git's daemon, sshd, and http with smart transfer, passwords, submodules and LFS."""

from __future__ import annotations

import base64
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import remotes
from support.clients import Client, until
from support.doors import Door
from support.remotes import Web
from support.repo import GIT_ENV, Repo
from support.server import Paas, Response, run, running_paas

PASSWORD = "correct-horse"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder whose repositories the servers have."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def daemon(served: Path) -> Iterator[str]:
    with remotes.git_daemon(served) as url:
        yield url


@pytest.fixture(scope="module")
def private(served: Path) -> Iterator[Web]:
    """http with a name and password."""
    with remotes.web(served, f"ci:{PASSWORD}") as server:
        yield server


@pytest.fixture(scope="module")
def public(served: Path) -> Iterator[Web]:
    with remotes.web(served) as server:
        yield server


def source(tmp_path: Path, served: Path, name: str, **files: str) -> tuple[Repo, str]:
    """A repository with these files, served as NAME.git, and its commit."""
    repo = Repo(tmp_path / name)
    repo.write({path.replace("__", "."): text for path, text in files.items()})
    commit = repo.commit("First")
    remotes.bare(repo, served / f"{name}.git")
    return repo, commit


def greeting(text: str) -> str:
    return f"FROM paas-test/web\nENV GREETING={text}\n"


def branch_file(paas: Paas, app: str, branch: str) -> Path:
    return paas.root / f"repositories/{app}.git/refs/heads/{branch}"


def test_a_branch_a_tag_and_a_commit(
    paas: Paas, host: Door, served: Path, daemon: str, tmp_path: Path, http_get: Callable[..., Response]
) -> None:
    repo, first = source(tmp_path, served, "plain", Dockerfile=greeting("First"))
    repo.git("tag", "-a", "-m", "v1", "v1").ok()
    repo.git("push", "-q", "origin", "v1").ok()
    url = f"{daemon}/plain.git"
    host.ssh("apps:create", "plain").ok()
    said = host.ssh("git:sync", "plain", url).ok()
    assert said.startswith(f"-----> Cloning plain from {url}#master\n")
    assert said.endswith("       Detected branch, setting deploy-branch to main\n")
    assert branch_file(paas, "plain", "main").read_text().strip() == first
    assert http_get("plain").status == 404

    built = host.ssh("git:sync", "--build-if-changes", "plain", url, "main").ok()
    assert f"       Fetching remote code for plain from {url}#main\n" in built and "Application deployed" in built
    assert "First" in http_get("plain").body
    assert host.ssh("apps:report", "plain", "--app-deploy-source").ok() == "git-sync\n"
    assert host.ssh("apps:report", "plain", "--app-deploy-source-metadata").ok() == f"{url}#main\n"
    again = host.ssh("git:sync", "--build-if-changes", "plain", url).ok()
    assert again.endswith("       Skipping build as no changes were detected\n")
    assert "Application deployed" in host.ssh("git:sync", "--build", "plain", url, "v1").ok()

    repo.write({"Dockerfile": greeting("Second")})
    second = repo.commit("Second")
    repo.git("push", "-q", "origin", "main").ok()
    host.ssh("git:sync", "plain", url).ok()
    assert branch_file(paas, "plain", "main").read_text().strip() == second
    host.ssh("git:sync", "plain", url, first[:9]).ok()
    assert branch_file(paas, "plain", "main").read_text().strip() == first
    missing = host.ssh("git:sync", "plain", url, "nope")
    assert (missing.code, missing.err) == (
        1,
        f" !     {url} has no branch, tag or commit nope. Nothing was changed. Its branches are: main\n",
    )
    assert host.ssh("git:sync", "plain", url, "f" * 40).code == 1


def test_a_build_that_fails_leaves_branch_and_release(
    paas: Paas, host: Door, served: Path, daemon: str, tmp_path: Path, http_get: Callable[..., Response]
) -> None:
    repo, first = source(tmp_path, served, "breaks", Dockerfile=greeting("Works"))
    host.ssh("apps:create", "breaks").ok()
    host.ssh("git:sync", "--build", "breaks", f"{daemon}/breaks.git", "main").ok()
    repo.write({"Dockerfile": 'FROM paas-test/web\nRUN ["/bin/busybox", "false"]\n'})
    repo.commit("Broken")
    repo.git("push", "-q", "origin", "main").ok()
    failed = host.ssh("git:sync", "--build", "breaks", f"{daemon}/breaks.git")
    assert failed.code == 1 and "App build failed" in failed.err
    assert branch_file(paas, "breaks", "main").read_text().strip() == first
    assert "Works" in http_get("breaks").body
    refs = host.ssh("git:status", "breaks").ok()
    assert first[:12] in refs and "deployed as r1" in refs


def test_the_first_failure_does_not_choose_a_deploy_branch(
    host: Door, served: Path, daemon: str, tmp_path: Path
) -> None:
    repo, _ = source(tmp_path, served, "nodocker", README="x")
    repo.git("push", "-q", "origin", "main:refs/heads/topic").ok()
    host.ssh("apps:create", "nodocker").ok()
    failed = host.ssh("git:sync", "--build", "nodocker", f"{daemon}/nodocker.git", "topic")
    assert failed.code == 1 and "no Dockerfile" in failed.err
    assert host.ssh("git:report", "nodocker", "--git-deploy-branch").ok() == "\n"
    skipped = host.ssh("git:sync", "--skip-deploy-branch", "nodocker", f"{daemon}/nodocker.git", "topic").ok()
    assert skipped.endswith("       Detected branch topic, skipping deploy-branch setting\n")
    assert host.ssh("git:report", "nodocker", "--git-deploy-branch").ok() == "\n"
    assert "master  " in host.ssh("git:status", "nodocker").ok()


def test_a_password_is_asked_for_and_told_to_its_host_only(
    paas: Paas, host: Door, served: Path, private: Web, tmp_path: Path
) -> None:
    source(tmp_path, served, "secret", Dockerfile=greeting("Secret"))
    url = f"{private.url}/git/secret.git"
    site = private.url.removeprefix("http://")
    host.ssh("apps:create", "secret").ok()
    refused = host.ssh("git:sync", "secret", url)
    assert refused.code == 1 and f"could not read Username for 'http://{site}'" in refused.err
    assert f"git:auth {site} USER" in refused.err
    # In the URL it is for this once.
    host.ssh("git:sync", "secret", url.replace("://", f"://ci:{PASSWORD}@"), "main").ok()
    assert host.ssh("git:sync", "secret", url).code == 1
    wrong = host.ssh("git:sync", "secret", url.replace("://", "://ci:wr0ng-one@"), "main")
    assert wrong.code == 1 and "Authentication failed" in wrong.err and "wr0ng-one" not in wrong.err

    assert host.ssh("git:auth-status", site).code == 0
    host.ssh("git:auth", "elsewhere.example", "ci", input="other\n").ok()
    assert host.ssh("git:sync", "secret", url).code == 1
    said = host.ssh("git:auth", site, "ci", input=f"{PASSWORD}\n").ok()
    assert said == f"-----> Setting netrc auth entry for host {site}\n"
    assert host.ssh("git:auth-status", site).code == 1
    assert host.ssh("git:auth-status", site, "ci", input=f"{PASSWORD}\n").code == 0
    assert host.ssh("git:auth-status", site, "ci", input="other\n").code == 1
    host.ssh("git:sync", "secret", url).ok()
    host.ssh("git:auth", site).ok()
    assert host.ssh("git:sync", "secret", url).code == 1
    for word in (PASSWORD, "wr0ng-one", base64.b64encode(f"ci:{PASSWORD}".encode()).decode()):
        assert [path for path in files_below(paas.root) if word.encode() in path.read_bytes()] == []
    assert PASSWORD not in host.ssh("operations", "secret").ok()


def files_below(folder: Path) -> list[Path]:
    return [Path(place) / name for place, _, names in os.walk(folder) for name in names if (Path(place) / name).is_file()]


def test_over_ssh_with_the_deploy_key(paas: Paas, host: Door, served: Path, tmp_path: Path) -> None:
    _, commit = source(tmp_path, served, "shell", Dockerfile=greeting("Shell"))
    host.ssh("apps:create", "shell").ok()
    without = host.ssh("git:public-key")
    assert without.code == 1 and without.err.startswith(
        " !     There is no deploy key associated with the paas user.\n"
    )
    host.ssh("git:generate-deploy-key").ok()
    again = host.ssh("git:generate-deploy-key")
    assert (again.code, again.out) == (0, " !     A deploy key already exists for this host\n")
    keys = tmp_path / "authorized_keys"
    keys.write_text("")
    with remotes.sshd(keys) as server:
        url = f"{server}{served}/shell.git"
        site = server.rpartition("@")[2]
        unknown = host.ssh("git:sync", "shell", url, "main")
        assert unknown.code == 1 and "Host key verification failed" in unknown.err
        assert f"git:allow-host {site}" in unknown.err
        for _ in range(2):
            assert host.ssh("git:allow-host", site).ok().endswith(f"-----> {site} added to known hosts\n")
        known = (paas.root / ".ssh/known_hosts").read_text().splitlines()
        assert len(known) == len(set(known)) == 1 and known[0].startswith(f"[127.0.0.1]:{site.rpartition(':')[2]} ")
        stranger = host.ssh("git:sync", "shell", url, "main")
        assert stranger.code == 1 and "Permission denied" in stranger.err and "git:public-key" in stranger.err
        keys.write_text(host.ssh("git:public-key").ok())
        host.ssh("git:sync", "shell", url, "main").ok()
    assert branch_file(paas, "shell", "main").read_text().strip() == commit
    assert (paas.root / ".ssh/id_ed25519").stat().st_mode & 0o777 == 0o600
    silent = host.ssh("git:allow-host", site)
    assert silent.code == 1 and "shows no ssh host key" in silent.err


def test_over_https_with_certificates_of_our_own(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, commit = source(tmp_path, served, "tls", Dockerfile=greeting("Tls"))
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=test"
    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    name = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(pem), "-keyout", str(key)]
    run(["openssl", *words.split(), *name]).ok()
    both = tmp_path / "both.pem"
    both.write_text(key.read_text() + pem.read_text())
    with remotes.web(served, f"ci:{PASSWORD}", both) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        with running_paas() as trusting:
            trusting.command("apps:create", "tls").ok()
            trusting.command("git:auth", "127.0.0.1", "ci", input=PASSWORD).ok()
            trusting.command("git:sync", "tls", f"{server.url}/git/tls.git").ok()
            assert branch_file(trusting, "tls", "main").read_text().strip() == commit
            server.files["x.tar"] = b"garbage" * 1000
            said = trusting.command("git:from-archive", "tls", f"{server.url}/files/x.tar")
            assert "no tar archive" in said.err
            # Without encryption the password is told to this machine only.
            server.files["down"] = server.url.replace("https:", "http:") + "/files/x.tar"
            said = trusting.command("git:from-archive", "tls", f"{server.url}/files/down")
            assert "it redirects from https to http" in said.err
        monkeypatch.delenv("SSL_CERT_FILE")
        with running_paas() as strange:
            strange.command("apps:create", "tls").ok()
            strange.command("git:auth", "127.0.0.1", "ci", input=PASSWORD).ok()
            seen = len(server.asked)
            for words in (["git:sync", "tls", f"{server.url}/git/tls.git"], ["git:from-archive", "tls", f"{server.url}/files/x.tar"]):
                said = strange.command(*words)
                assert said.code == 1 and "certificate" in said.err.lower()
            assert len(server.asked) == seen


def test_a_silent_server_can_be_interrupted(host: Door, start: Callable[..., Client]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"git://127.0.0.1:{listener.getsockname()[1]}/x.git"
        host.ssh("apps:create", "silent").ok()
        client = start(host.ssh_command("git:sync", "silent", url), host.paas.env)
        connection, _ = listener.accept()
        client.says("Cloning silent")
        client.send(signal.SIGINT)
        client.ends()
        with connection:
            connection.settimeout(20)
            while connection.recv(4096):
                pass
    until(lambda: "cancelled" in host.ssh("operations", "silent").out)
    host.ssh("repo:gc", "silent").ok()


def with_submodule(repo: Repo, path: str, url: str, commit: str, more: str = "") -> None:
    """Commit a submodule as it is written down, without git's own command."""
    name = path.replace("/", "-")
    repo.write({".gitmodules": f'[submodule "{name}"]\n\tpath = {path}\n\turl = {url}\n{more}'})
    repo.git("add", ".gitmodules").ok()
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}").ok()
    repo.git("commit", "-q", "-m", "Submodule").ok()


def test_submodules_relative_and_below_each_other(
    host: Door, served: Path, public: Web, tmp_path: Path, http_get: Callable[..., Response]
) -> None:
    _, deep = source(tmp_path, served, "deep", text="deep")
    middle, _ = source(tmp_path, served, "middle", text="middle")
    with_submodule(middle, "below/deep", "../deep.git", deep)
    middle.git("push", "-q", "origin", "main").ok()
    commit = middle.git("rev-parse", "HEAD").ok().strip()
    files = "COPY lib/text lib/below/deep/text /www/\nCOPY lib/text /www/middle\n"
    top, _ = source(tmp_path, served, "top", Dockerfile=greeting("Top") + files)
    with_submodule(top, "lib", f"{public.url}/git/middle.git", commit)
    top.git("push", "-q", "origin", "main").ok()
    host.ssh("apps:create", "top").ok()
    built = host.ssh("git:sync", "--build", "top", f"{public.url}/git/top.git", "main").ok()
    assert f"       Submodule lib: {commit[:12]}\n       Fetching submodule lib/below/deep from" in built
    assert (http_get("top", "/middle").body, http_get("top", "/text").body) == ("middle", "deep")
    # What is no submodule any more is not in the next build.
    top.git("rm", "-q", "--cached", "lib", ".gitmodules").ok()
    (top.path / ".gitmodules").unlink()
    top.write({"Dockerfile": greeting("Gone") + "COPY . /www/context/\n"})
    top.git("add", "Dockerfile").ok()
    top.git("commit", "-q", "-m", "Without").ok()
    top.git("push", "-q", "origin", "main").ok()
    host.ssh("git:sync", "--build", "top", f"{public.url}/git/top.git").ok()
    assert http_get("top", "/context/lib/text").status == 404
    assert http_get("top", "/context/Dockerfile").status == 200


@pytest.mark.parametrize(
    ("path", "url", "reason"),
    [
        ("lib", "ext::sh -c 'touch /tmp/paas-test-owned'", "its URL ext::sh -c"),
        ("lib", "/etc", "its URL /etc is none that may be read"),
        ("lib", "file:///etc", "its URL file:///etc is none"),
        ("lib", "../other.git", "its URL ../other.git is relative, and a push does not say to what"),
        ("lib", "", ".gitmodules has no URL for it"),
    ],
)
def test_submodules_that_are_refused(
    host: Door, repo: Repo, path: str, url: str, reason: str, request: pytest.FixtureRequest
) -> None:
    repo.write({"Dockerfile": greeting("x")})
    repo.commit("First")
    with_submodule(repo, path, f'"{url}"', "1" * 40)
    app = f"refused-{request.node.callspec.indices['path']}{request.node.callspec.indices['url']}"
    pushed = repo.push(host.remote(app), "main", host.git_env())
    assert pushed.code == 1 and f"The submodule {path} can't be checked out: {reason}" in pushed.err
    assert "pre-receive hook declined" in pushed.err
    assert not Path("/tmp/paas-test-owned").exists()


@pytest.mark.parametrize(
    ("url", "more"), [("-u./payload", ""), ("../x", "\tupdate = !touch /tmp/paas-test-owned\n")]
)
def test_what_git_refuses_itself(
    host: Door, served: Path, daemon: str, tmp_path: Path, url: str, more: str, request: pytest.FixtureRequest
) -> None:
    app = f"fsck-{request.node.callspec.indices['url']}"
    repo, _ = source(tmp_path, served, app, Dockerfile=greeting("x"))
    with_submodule(repo, "lib", url, "1" * 40, more)
    repo.git("push", "-q", "origin", "main").ok()
    host.ssh("apps:create", app).ok()
    synced = host.ssh("git:sync", "--build", app, f"{daemon}/{app}.git", "main")
    assert synced.code == 1 and "could not be read: object" in synced.err and "mend the commits" in synced.err
    assert "no commits yet" in host.ssh("git:status", app).err
    assert not Path("/tmp/paas-test-owned").exists()


def test_lfs_content(
    host: Door, served: Path, private: Web, public: Web, tmp_path: Path, http_get: Callable[..., Response]
) -> None:
    content = os.urandom(3000).hex()
    files = {"Dockerfile": greeting("Lfs") + "COPY data.bin /www/\n", ".gitattributes": "*.bin filter=lfs -text\n"}
    repo = Repo(tmp_path / "lfs")
    repo.write({**files, "data.bin": private.keep(content.encode()), ".lfsconfig": f"[lfs]\n\turl = {public.url}/wrong\n"})
    repo.commit("Pointers")
    remotes.bare(repo, served / "lfs.git")
    host.ssh("apps:create", "lfs").ok()
    url = f"{private.url}/git/lfs.git"
    host.ssh("git:auth", private.url.removeprefix("http://"), "ci", input=PASSWORD).ok()
    built = host.ssh("git:sync", "--build", "lfs", url, "main").ok()
    assert f"Fetching Git LFS content of 1 file(s) from {url}" in built
    assert http_get("lfs", "/data.bin").body == content
    # Kept with the repository: also a push of the same files has them.
    repo.write({"Dockerfile": files["Dockerfile"] + "ENV A=b\n"})
    repo.commit("Pushed")
    repo.push(host.remote("lfs"), "main", host.git_env()).ok()
    assert http_get("lfs", "/data.bin").body == content

    repo.write({"data.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n"})
    repo.commit("Nobody has it")
    pushed = repo.push(host.remote("lfs"), "main", host.git_env())
    assert pushed.code == 0 and "1 file(s) stay Git LFS pointers, such as data.bin: a push brings no LFS content" in pushed.err
    repo.write({"README": "x"})
    repo.commit("Nobody has it, synced")
    repo.git("push", "-q", "origin", "main").ok()
    failed = host.ssh("git:sync", "--build", "lfs", url)
    assert failed.code == 1 and f"{url} could not be read: failed to fetch some objects" in failed.err
    assert f"[{'0' * 64}] not here" in failed.out
    # A push by somebody who has git-lfs installed.
    repo.git("rm", "-q", ".lfsconfig").ok()
    for word in ("filter.lfs.clean", "filter.lfs.smudge"):
        repo.git("config", word, f"git-lfs {word.rpartition('.')[2]} -- %f").ok()
    repo.git("config", "lfs.allowincompletepush", "true").ok()
    repo.write({"new.bin": content + "new", ".git/hooks/pre-push": '#!/bin/sh\nexec git lfs pre-push "$@"\n'}, executable=True)
    repo.commit("With content")
    # git-lfs takes a remote for ssh only with a user in it.
    pushed = repo.push("paas@" + host.remote("lfs"), "main", host.git_env())
    assert pushed.code != 0 and "paas keeps no Git LFS content" in pushed.err


def test_keep_git_dir(host: Door, repo: Repo, http_get: Callable[..., Response]) -> None:
    repo.write({"Dockerfile": greeting("Kept") + "COPY . /www/context/\n"})
    repo.commit("First")
    commit = repo.commit("Second")
    host.ssh("apps:create", "kept").ok()
    host.ssh("git:set", "kept", "keep-git-dir", "true").ok()
    repo.push(host.remote("kept"), "main", host.git_env()).ok()
    assert http_get("kept", "/context/.git/HEAD").body == "ref: refs/heads/master\n"
    assert http_get("kept", "/context/.git/refs/heads/master").body == f"{commit}\n"
    host.ssh("git:set", "kept", "keep-git-dir", "false").ok()
    host.ssh("ps:rebuild", "kept").ok()
    assert http_get("kept", "/context/.git/HEAD").status == 404


def test_the_kept_git_dir_works(paas: Paas, host: Door, repo: Repo) -> None:
    """The build's own git is asked: what it sees is the folder that goes to the builder."""
    repo.write({"Dockerfile": greeting("Works"), "a": "1"})
    repo.commit("First")
    host.ssh("apps:create", "gitdir").ok()
    host.ssh("git:set", "gitdir", "keep-git-dir", "true").ok()
    repo.push(host.remote("gitdir"), "main", host.git_env()).ok()
    trees = [path.parent for path in paas.root.glob("checkouts/*/tree/.git") if (path / "../a").exists()]
    assert len(trees) == 1
    copy = Repo.__new__(Repo)
    copy.path = trees[0]
    assert copy.git("status", "--porcelain", env=GIT_ENV).ok() == ""
    assert copy.git("log", "--format=%s").ok() == "First\n"


def test_gc_and_purge(paas: Paas, host: Door, repo: Repo, http_get: Callable[..., Response]) -> None:
    repo.write({"Dockerfile": greeting("Packed") + "RUN [\"/bin/busybox\", \"true\"]\n"})
    commit = repo.commit("First")
    host.ssh("apps:create", "packed").ok()
    host.ssh("git:set", "packed", "keep-git-dir", "true").ok()  # the builder gets a folder, not git's objects
    repo.push(host.remote("packed"), "main", host.git_env()).ok()
    assert "Packing the repository of packed" in host.ssh("repo:gc", "packed").ok()
    assert list((paas.root / "repositories/packed.git/objects/pack").glob("*.pack"))
    assert branch_file(paas, "packed", "main").read_text().strip() == commit
    assert [path for path in paas.root.glob("checkouts/*/tree/Dockerfile") if "Packed" in path.read_text()]
    assert host.ssh("repo:purge-cache", "packed").ok().startswith("-----> Purging the build cache of packed\n")
    assert not [path for path in paas.root.glob("checkouts/*/tree/Dockerfile") if "Packed" in path.read_text()]
    host.ssh("ps:rebuild", "packed").ok()
    assert "Packed" in http_get("packed").body
