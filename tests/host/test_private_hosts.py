"""What a limited key can make the host read: public addresses and those that an administrator allows, redirects included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import remotes
from support.doors import Door
from support.remotes import Web
from support.repo import Repo

ALLOW = ("git:set", "--global", "private-hosts")
BUILT = 'FROM paas-test/web\nRUN ["/bin/busybox", "true"]\n'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def allowed(served: Path) -> Iterator[Web]:
    with remotes.web(served) as server:
        yield server


@pytest.fixture(scope="module")
def inner(served: Path) -> Iterator[Web]:
    with remotes.web(served) as server:
        server.files["page"] = b"the inside\n"
        yield server


def site(server: Web) -> str:
    return server.url.removeprefix("http://")


def test_a_page_is_read_where_it_may_be(host: Door, allowed: Web, inner: Web) -> None:
    """Attack: a manager's MAINTENANCE_PAGE_URL leads, by way of a host that may be read, to one that may not."""
    allowed.files |= {"page": b"the outside", "moved": f"{inner.url}/files/page"}
    host.ssh(*ALLOW, site(allowed)).ok()
    host.ssh("apps:create", "pages").ok()
    host.ssh("git:from-image", "pages", "paas-test/web").ok()
    host.ssh("ps:stop", "pages").ok()
    said = host.ssh("config:set", "pages", f"MAINTENANCE_PAGE_URL={allowed.url}/files/page")
    assert said.code == 0 and said.err == ""
    host.ssh("ps:rebuild", "pages").ok()
    host.ssh("ps:stop", "pages").ok()
    assert host.paas.http_get("pages").body == "the outside"
    host.ssh("config:set", "--no-restart", "pages", f"MAINTENANCE_PAGE_URL={allowed.url}/files/moved").ok()
    said = host.ssh("ps:rebuild", "pages")
    assert f"({site(inner)} has no public address. An administrator can allow it: {' '.join(ALLOW)}" in said.err
    host.ssh("ps:stop", "pages").ok()
    assert host.paas.http_get("pages").body == "the outside"
    assert inner.asked == []


def test_stored_accounts_are_not_for_pages(host: Door, allowed: Web) -> None:
    host.ssh(*ALLOW, "127.0.0.0/8").ok()
    allowed.files["secret"] = b"x\n"
    host.ssh("git:auth", site(allowed), "ci", input="correct-horse").ok()
    host.ssh("apps:create", "accounts").ok()
    host.ssh("config:set", "accounts", f"MAINTENANCE_PAGE_URL={allowed.url}/files/secret").ok()
    host.ssh("git:from-image", "accounts", "paas-test/web").ok()
    assert allowed.asked[-1] == "GET /files/secret without credentials"


def test_a_limited_keys_submodules(host: Door, served: Path, allowed: Web, inner: Web, tmp_path: Path) -> None:
    """Attack: a deployer's .gitmodules names a server that only the host reaches, by itself or by a redirect."""
    host.ssh("apps:create", "submodules").ok()
    host.ssh("ssh-keys:add", "--role", "deploy:submodules", "sybil", input=host.add_key("sybil")).ok()
    library = Repo(tmp_path / "library")
    library.write({"text": "library\n"})
    commit = library.commit()
    remotes.bare(library, served / "library.git")
    repo = Repo(tmp_path / "repo")

    def push(url: str) -> str:
        repo.write({"Dockerfile": BUILT, ".gitmodules": f'[submodule "x"]\n\tpath = lib\n\turl = {url}\n'})
        repo.git("add", ".").ok()
        repo.git("update-index", "--add", "--cacheinfo", f"160000,{commit},lib").ok()
        repo.git("commit", "-q", "-m", "m").ok()
        return repo.push("sybil:submodules", "main", host.git_env(), "--force").err

    host.ssh(*ALLOW, f"localhost:{site(allowed).rpartition(':')[2]}").ok()
    asked = len(inner.asked)
    assert f"{site(inner)} has no public address" in push(f"{inner.url}/git/library.git")
    assert len(inner.asked) == asked
    # The name is allowed, the address by itself is not; and what it names is asked for nowhere else.
    assert f"{site(allowed)} has no public address" in push(f"{allowed.url}/git/library.git")
    allowed.files["library.git/info/refs"] = f"{inner.url}/git/library.git/info/refs"
    by_name = allowed.url.replace("127.0.0.1", "localhost")
    assert "The requested URL returned error: 302" in push(f"{by_name}/files/library.git")
    assert len(inner.asked) == asked
    said = push(f"{by_name}/git/library.git")
    assert "Application deployed" in said, said
