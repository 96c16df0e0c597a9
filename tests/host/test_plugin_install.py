"""Plugins in a running paas: installed from a folder and from git, and their effect while commands are in progress."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import remotes
from support.clients import Client
from support.doors import Door
from support.plugins import saying, write_example, write_plugin
from support.repo import Repo
from support.server import Paas

pytestmark = pytest.mark.usefixtures("image_names")


@pytest.fixture(scope="module")
def shop(paas: Paas, image_names: dict[str, str]) -> Iterator[str]:
    """An app that serves."""
    paas.command("apps:create", "shop").ok()
    paas.command("git:from-image", "shop", image_names["web"]).ok()
    yield "shop"


@pytest.fixture(autouse=True)
def _uninstalled(paas: Paas) -> Iterator[None]:
    yield
    for name in ("lamp", "lantern"):
        paas.command("plugin:uninstall", name)


def test_the_example_of_the_page(paas: Paas, door: Door, shop: str, tmp_path: Path) -> None:
    folder = write_example(tmp_path)
    assert "Installed and enabled the plugin lantern 1.0" in door.ssh("plugin:install", str(folder)).ok()
    assert "Lead visitors elsewhere" in door.ssh("lantern:help").ok()
    door.ssh("lantern:out", shop, "--elsewhere", "example.com").ok()
    answer = paas.http_get(shop, "/a?b=c")
    assert (answer.status, answer.headers["location"]) == (302, "//example.com/a?b=c")
    # The agent has it too: what it brings in step stays so.
    paas.command("ps:restart", shop).ok()
    assert paas.http_get(shop).status == 302
    door.ssh("plugin:disable", "lantern").ok()
    assert paas.http_get(shop).status == 200, "without the plugin its routes are gone, at once"
    door.ssh("plugin:enable", "lantern").ok()
    assert paas.http_get(shop).status == 302
    door.ssh("lantern:light", shop).ok()
    assert paas.http_get(shop).status == 200
    door.ssh("plugin:uninstall", "lantern").ok()
    assert door.ssh("lantern:out", shop).code == 1


def test_from_git(paas: Paas, host: Door, tmp_path: Path) -> None:
    repo = Repo(tmp_path / "lamp")
    write_plugin(repo.path, saying("one"))
    first = repo.commit("One")
    repo.git("tag", "v1").ok()
    served = tmp_path / "served"
    served.mkdir()
    remotes.bare(repo, served / "lamp.git")
    with remotes.git_daemon(served) as url:
        missing = host.ssh("plugin:install", f"{url}/lamp.git", "--committish", "v9")
        assert missing.code == 1 and "no branch, tag or commit v9" in missing.err
        host.ssh("plugin:install", f"{url}/lamp.git", "--committish", "v1").ok()
        assert host.ssh("lamp:say").ok() == "one\n"
        assert "up to date" in host.ssh("plugin:update", "lamp").ok()
        write_plugin(repo.path, saying("two"), version="2")
        repo.commit("Two")
        repo.git("push", "-q", "origin", "HEAD:main").ok()
        assert "up to date" in host.ssh("plugin:update", "lamp").ok(), "it was a tag that was asked for"
        assert "to 2" in host.ssh("plugin:update", "lamp", "main").ok()
        assert host.ssh("lamp:say").ok() == "two\n"
        host.ssh("plugin:update", "lamp", first).ok()
        assert host.ssh("lamp:say").ok() == "one\n"
        host.ssh("plugin:uninstall", "lamp").ok()
        host.ssh("plugin:install", f"{url}/lamp.git").ok()
        assert host.ssh("lamp:say").ok() == "two\n"
    gone = host.ssh("plugin:update", "lamp")
    assert gone.code == 1 and host.ssh("lamp:say").ok() == "two\n"
    assert not list((paas.root / "plugins").glob(".*"))


WAITING = """
from pathlib import Path
from paas.commands.base import Group, session
from paas.plugins import hookimpl

group = Group("lamp", "A lamp")


@group.command("wait")
def wait() -> None:
    \"\"\"Wait for a line, then say what plugins there are.\"\"\"
    session().console.print("waiting")
    input()
    session().routes()
    from paas.plugins.loading import current
    session().console.print(str(current(session().settings).manager.has_plugin("redirect")))


@hookimpl
def paas_command_groups():
    return [group]
"""


def test_commands_in_progress_go_on_and_know_of_the_change(
    paas: Paas, host: Door, tmp_path: Path, start: Callable[..., Client]
) -> None:
    folder = write_plugin(tmp_path / "source", WAITING)
    host.ssh("plugin:install", str(folder)).ok()
    pid = paas.process.pid if paas.process else 0
    waiting = start(
        ["ssh", "-F", str(host.ssh_config), "host", "lamp:wait"], host.git_env(), None, subprocess.PIPE
    )
    waiting.says("waiting")
    write_plugin(folder, saying("new"))
    host.ssh("plugin:update", "lamp").ok()
    host.ssh("plugin:disable", "redirect").ok()
    try:
        assert host.ssh("lamp:say").ok() == "new\n"
        assert waiting.process.poll() is None
        assert waiting.process.stdin is not None
        waiting.process.stdin.write(b"\n")
        waiting.process.stdin.flush()
        assert waiting.ends() == 0
        assert waiting.text.splitlines()[-1] == "False"
    finally:
        host.ssh("plugin:enable", "redirect").ok()
    assert paas.process is not None and paas.process.pid == pid


def test_a_plugin_survives_a_restart_and_a_broken_one_does_not_stop_it(
    paas: Paas, host: Door, tmp_path: Path
) -> None:
    host.ssh("plugin:install", str(write_plugin(tmp_path / "source", saying("hi")))).ok()
    paas.stop()
    assert paas.command("lamp:say").ok() == "hi\n", "without a server too"
    for copy in (paas.root / "plugins" / "lamp").iterdir():
        shutil.rmtree(copy)
    paas.start()
    assert "The plugin lamp is left out" in paas.last_log()
    assert host.ssh("apps:list").code == 0
    assert "is left out" in host.ssh("plugin:list").err
    assert host.ssh("lamp:say").code == 1
