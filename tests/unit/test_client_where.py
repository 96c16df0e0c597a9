"""Which host and which app a command of the client is for, and which words it is sent with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paas import cli
from paas.client.failure import BadHost
from paas.client.load import LoadWords, blocks
from paas.client.where import SCOPES, WITHOUT_APP, Host, Place, command_name, of_url, said, with_app
from paas.program import is_elsewhere

ROOT = Path(__file__).parent.parent.parent
# With the plugins that came with paas.
cli.refresh(None)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("host", Host("host")),
        ("paas@host.example.com", Host("host.example.com", "paas")),
        ("dokku@10.0.0.1:2222", Host("10.0.0.1", "dokku", 2222)),
        ("paas@[fe80::1%eth0]:22", Host("fe80::1%eth0", "paas", 22)),
        ("[::1]", Host("::1")),
    ],
)
def test_a_host_is_written_as_for_ssh(text: str, host: Host) -> None:
    assert Host.parse(text) == host


@pytest.mark.parametrize(
    "text", ["", "-oProxyCommand=id", "a b", "user@", "@host", "host:", "host:0", "host:65536", "host\n", "a@-host", "$(id)"]
)
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(BadHost) as caught:
        Host.parse(text)
    assert len(caught.value.lines) == 1


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("paas@host:web", Place(Host("host", "paas"), "web")),
        ("host:web.git", Place(Host("host"), "web")),
        ("ssh://dokku@host:2222/web", Place(Host("host", "dokku", 2222), "web")),
        ("ssh://host/env/web.git/", Place(Host("host"), "web")),
        ("git@[::1]:team/web", Place(Host("::1", "git"), "web")),
        ("https://host/web", None),
        ("/srv/web.git", None),
        ("../web", None),
        ("file:///srv/web", None),
        ("ssh://-oProxyCommand=id/web", None),
        ("-oProxyCommand=id:web", None),
    ],
)
def test_a_remote_names_host_and_app(url: str, place: Place | None) -> None:
    assert of_url(url) == place


def test_a_host_is_said_before_the_command_or_in_the_environment() -> None:
    assert said(["-H", "host", "apps:list"], {"PAAS_HOST": "other"}) == (Place(Host("host")), ["apps:list"])
    assert said(["-Hhost", "logs", "-H"], {}) == (Place(Host("host")), ["logs", "-H"])
    assert said(["apps:list"], {"PAAS_HOST": "me@other:23"}) == (Place(Host("other", "me", 23)), ["apps:list"])
    assert said(["apps:list"], {}) == (None, ["apps:list"])
    with pytest.raises(BadHost):
        said(["-H"], {})


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        ("config:set A=1", "--app web config:set A=1"),
        ("config:set web A=1", "config:set web A=1"),
        ("--quiet logs -t", "--app web --quiet logs -t"),
        ("run ls -l", "--app web run ls -l"),
        ("ps:report", "--app web ps:report"),
        ("ps:report --all", "ps:report --all"),
        ("config:show --global", "config:show --global"),
        ("--app other ps:report", "--app other ps:report"),
        ("restart --app=other", "restart --app=other"),
        ("apps:list", "apps:list"),
        ("ps:help", "ps:help"),
        ("operation:logs 3", "operation:logs 3"),
        ("", ""),
    ],
)
def test_the_app_of_the_remote_is_added_where_it_is_missing(words: str, sent: str) -> None:
    assert with_app(words.split(), "web") == sent.split()


@pytest.mark.parametrize("words", ["run web ls", "--app web run ls", "--quiet --env prod run ls", "--app=web run"])
def test_the_command_is_found_among_the_flags(words: str) -> None:
    assert command_name(words.split()) == "run"


def test_the_client_needs_nothing_that_is_installed() -> None:
    """Neither the server's packages nor any others: -S leaves site-packages out."""
    words = [sys.executable, "-S", "-P", "-m", "paas.client"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "GIT_DIR": "/nowhere"}
    done = subprocess.run(words, env=env, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith(" !     Which host? ")


def test_which_commands_take_an_app_is_as_the_program_says() -> None:
    without = {"-v", "apps:create"}
    for name in cli.commands():
        first = next((item for item in cli.parser(name).params if item.param_type_name == "argument"), None)
        metavar = (first.metavar or "") if first else ""
        if not metavar.startswith(("APP", "[APP")) and not name.endswith(":help") and name != "git-hook":
            without.add(name)
    without |= {group.name for group in cli.groups().values() if group.bare in without}
    assert without == WITHOUT_APP
    assert all(word.startswith("--") for word in SCOPES)


@pytest.mark.parametrize(
    ("words", "app", "image", "sent"),
    [
        ("git:load-image web web:42", "web", "web:42", "git:load-image --layers web web:42"),
        ("--app web git:load-image web:42", "web", "web:42", "--app web git:load-image --layers web:42"),
        ("git:load-image --force --app=web web:42 Ann", "web", "web:42", "git:load-image --layers --force --app=web web:42 Ann"),
        ("--quiet git:load-image --build-dir /x web i", "web", "i", "--quiet git:load-image --layers --build-dir /x web i"),
    ],
)
def test_the_words_of_a_load(words: str, app: str, image: str, sent: str) -> None:
    found = LoadWords.parse(words.split())
    assert found is not None
    assert (found.app, found.image, " ".join(found.command("--layers"))) == (app, image, sent)
    assert found.question == ["git:layers", app, image]


@pytest.mark.parametrize("words", ["", "git:load-image", "git:load-image web", "run web git:load-image a b", "apps:list"])
def test_what_is_no_load(words: str) -> None:
    assert LoadWords.parse(words.split()) is None


def test_blocks_begin_where_the_host_has_come_to() -> None:
    data = bytes(range(256)) * 20_000
    chunks = [data[start : start + 777] for start in range(0, len(data), 777)]
    for offset in (0, 1, 777, 1_000_000, len(data) - 1, len(data)):
        found = list(blocks(chunks, offset))
        assert b"".join(found) == data[offset:]
        assert all(len(block) == 1024 * 1024 for block in found[:-1])


def test_a_command_is_another_machines_when_that_is_said_or_there_is_no_paas_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What this machine itself has installed doesn't count.
    monkeypatch.setattr("paas.settings.ROOT_INSTALL", tmp_path / "none")
    here = {"PAAS_ROOT": str(tmp_path)}
    assert is_elsewhere(["-H", "host", "apps:list"], here)
    assert is_elsewhere(["apps:list"], here | {"PAAS_HOST": "host"})
    assert not is_elsewhere(["apps:list"], here)
    assert is_elsewhere(["apps:list"], {"XDG_STATE_HOME": "/nowhere", "HOME": "/nowhere"})
    assert not is_elsewhere(["serve"], {"XDG_STATE_HOME": "/nowhere", "HOME": "/nowhere"})
