"""config:clear, keys, export, bundle and import, of an app and of all."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from support.in_process import Commands, Said

from paas.settings import Settings

AWKWARD = {"LINES": "one\ntwo\n", "QUOTES": "it's \"x\"", "DOLLAR": "$HOME `id`", "UNICODE": "é☃", "CR": "a\r\nb", "EMPTY": ""}


@pytest.fixture
def web1(paas_command: Commands) -> Commands:
    paas_command("apps:create", "web1")
    paas_command("apps:create", "web2")
    return paas_command


def test_export_and_import_to_the_byte(web1: Commands) -> None:
    web1("config:set", "web1", *(f"{key}={value}" for key, value in AWKWARD.items()))
    for name in ("envfile", "exports", "json"):
        text = web1("config:export", "web1", "--format", name).out
        reader = "json" if name == "json" else "envfile"
        said = web1("config:import", "--format", reader, "web2", "-", stdin=text)
        assert (said.code, said.err) == (0, "")
        assert said.out.startswith("-----> Reading config vars from stdin\n-----> Setting config var CR=a\r\n")
        for key, value in AWKWARD.items():
            assert web1("config:get", "web2", key) == Said(0, f"{value}\n", "")
        web1("config:clear", "web2")
    assert web1("config:keys", "web2").out == ""


def test_import_keeps_or_replaces(web1: Commands) -> None:
    web1("config:set", "web1", "OLD=1", "BOTH=1")
    web1("config:import", "web1", "-", stdin="BOTH=2\nNEW=3\n")
    assert web1("config:export", "--format", "shell", "web1").out == "BOTH='2' NEW='3' OLD='1' "
    web1("config:import", "--replace", "web1", "-", stdin="NEW=4\n")
    assert web1("config:export", "--format", "shell", "web1").out == "NEW='4' "


def test_import_from_a_file_only_on_the_host(web1: Commands, tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_bytes(b"RAW='a\r\nb'\n")
    assert web1("config:import", "web1", str(path)).code == 0
    assert web1("config:get", "web1", "RAW").out == "a\r\nb\n"
    assert "is a path on the server" in web1("config:import", "web1", str(path), door="ssh").err
    assert "can't be read: No such file" in web1("config:import", "web1", str(tmp_path / "none")).err
    assert "can't be read: Is a directory" in web1("config:import", "web1", str(tmp_path)).err


def test_import_refuses_what_it_can_not_read(web1: Commands) -> None:
    empty = web1("config:import", "web1", "-", stdin="# nothing\n")
    assert (empty.code, empty.err) == (1, " !     No config vars to set\n")
    assert web1("config:import", "web1", "-", stdin="1BAD=x").err == " !     Invalid key name: '1BAD'\n"
    assert "longer than 4 MB" in web1("config:import", "web1", "-", stdin="A=" + "x" * 5_000_000).err
    assert web1("config:import", "nope", "-").code == 20
    assert web1("config:keys", "web1").out == ""


def test_global_and_merged(web1: Commands) -> None:
    web1("config:set", "--global", "SHARED=g", "BOTH=g")
    web1("config:set", "web1", "BOTH=a", "OWN=a")
    assert web1("config:keys", "web1").out == "BOTH\nOWN\n"
    assert web1("config:keys", "--merged", "web1").out == "BOTH\nOWN\nSHARED\n"
    merged = "export BOTH='a'\nexport OWN='a'\nexport SHARED='g'\n"
    assert web1("config:export", "--merged", "web1").out == merged
    assert web1("config:show", "--merged", "web1").out == "=====> web1 env vars\nBOTH:    a\nOWN:     a\nSHARED:  g\n"
    assert web1("config:clear", "--global").out == "-----> Unsetting BOTH\n-----> Unsetting SHARED\n"
    assert web1("config:show", "--global").out == "=====> global env vars\n\n"
    assert web1("config:clear", "--global") == Said(0, "", "")


def test_global_changes_are_recorded_without_values(web1: Commands) -> None:
    web1("config:set", "--global", "TOKEN=hush")
    web1("config:import", "--global", "-", stdin="TOKEN=hush2")
    web1("config:unset", "--global", "TOKEN")
    recorded = web1("operations").out
    assert "config:set --global TOKEN=********" in recorded
    assert "config:import --global TOKEN=********" in recorded
    assert "config:unset --global TOKEN" in recorded
    assert "hush" not in recorded


def test_bundle(web1: Commands) -> None:
    web1("config:set", "web1", *(f"{key}={value}" for key, value in AWKWARD.items()))
    said = web1("config:bundle", "web1")
    with tarfile.open(fileobj=io.BytesIO(said.out.encode())) as tar:
        found = {item.name: (tar.extractfile(item) or io.BytesIO()).read().decode() for item in tar}
        assert {item.mode for item in tar} == {0o600}
    assert found == AWKWARD


def test_a_registrys_password_stays(web1: Commands, settings: Settings) -> None:
    web1("config:set", "web1", "APTIBLE_PRIVATE_REGISTRY_USERNAME=ci", "APTIBLE_PRIVATE_REGISTRY_PASSWORD=hush", "A=1")
    exported = web1("config:export", "web1", "--format", "envfile")
    assert "hush" not in exported.out
    assert exported.err == " !     APTIBLE_PRIVATE_REGISTRY_PASSWORD is left out; it is never shown\n"
    assert web1("config:import", "--replace", "web1", "-", stdin=exported.out).code == 0
    assert web1("config:keys", "web1").out.split()[1:] == [
        "APTIBLE_PRIVATE_REGISTRY_PASSWORD",
        "APTIBLE_PRIVATE_REGISTRY_USERNAME",
    ]


@pytest.mark.parametrize("command", ["config:keys", "config:export", "config:bundle", "config:clear", "config:show"])
def test_too_many_words_or_too_few(web1: Commands, command: str) -> None:
    assert web1(command, "web1", "extra") == Said(2, "", " !     Unexpected argument(s): extra\n")
    assert web1(command) == Said(1, "", " !     Please specify an app to run the command on\n")
    assert web1(command, "nope").code == 20
