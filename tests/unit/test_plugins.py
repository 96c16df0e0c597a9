"""Plugins: which there are, how they are loaded, and what their hooks do to apps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.in_process import Commands
from support.plugins import saying, write_plugin

from paas import cli
from paas.deploy import plugins
from paas.deploy.session import Session
from paas.model.caller import Caller
from paas.plugins import loading, registry
from paas.settings import Settings


def listed(paas_command: Commands) -> dict[str, dict[str, object]]:
    rows = json.loads(paas_command("plugin:list", "--format", "json").out)
    return {row["name"]: row for row in rows}


def copy_of(settings: Settings, name: str = "lamp") -> Path:
    return registry.folder(settings, name) / str(registry.read(settings).installed[name].number)


def test_shipped_plugins_are_there_and_enabled(paas_command: Commands) -> None:
    found = listed(paas_command)
    for name in ("maintenance", "http-auth", "redirect"):
        assert found[name]["enabled"] and found[name]["source"] == "shipped" and found[name]["error"] == ""
    assert found["apps"]["source"] == "paas"
    assert len(found) == len(json.loads(paas_command("plugin:list", "--format", "json").out))
    assert [paas_command("plugin:installed", name).code for name in ("redirect", "cron", "postgres")] == [
        0,
        0,
        1,
    ]


def test_core_names_no_plugin() -> None:
    package = Path(cli.__file__).parent
    for path in package.rglob("*.py"):
        text = path.read_text()
        assert "http-auth" not in text and "http_auth" not in text.replace("http_auth(users", ""), path
        assert "maintenance:on" not in text and "redirect:set" not in text, path


def test_install_update_disable_enable_uninstall(
    paas_command: Commands, tmp_path: Path, settings: Settings
) -> None:
    folder = write_plugin(tmp_path / "source", saying("one"))
    (folder / ".git").mkdir()
    said = paas_command("plugin:install", str(folder))
    assert (said.code, said.err) == (0, "")
    assert "Installed and enabled the plugin lamp 1.0" in said.out
    assert paas_command("lamp:say").out == "one\n"
    assert "lamp" in paas_command("help").out
    assert sorted(path.name for path in copy_of(settings).glob("*.*")) == ["__init__.py", "plugin.toml"]
    again = paas_command("plugin:install", str(folder))
    assert again.code == 1 and "There is a plugin lamp already" in again.err
    write_plugin(folder, saying("two"), version="2.0")
    assert "to 2.0" in paas_command("plugin:update", "lamp").out
    assert paas_command("lamp:say").out == "two\n"
    assert listed(paas_command)["lamp"]["version"] == "2.0"
    assert paas_command("plugin:disable", "lamp").code == 0
    gone = paas_command("lamp:say")
    assert gone.code == 1 and "is not a paas command" in gone.err
    assert paas_command("plugin:installed", "lamp").code == 0
    assert "disabled already" in paas_command("plugin:disable", "lamp").out
    assert paas_command("plugin:enable", "lamp").code == 0
    assert paas_command("lamp:say").out == "two\n"
    assert paas_command("plugin:uninstall", "lamp").code == 0
    assert paas_command("lamp:say").code == 1
    assert list((settings.root / "plugins").iterdir()) == []
    write_plugin(folder, saying("three"))
    paas_command("plugin:install", str(folder))
    assert paas_command("lamp:say").out == "three\n", "nothing is remembered of the one of before"


def test_a_plugin_under_another_name(paas_command: Commands, tmp_path: Path) -> None:
    folder = write_plugin(tmp_path / "source", saying("hi"))
    assert paas_command("plugin:install", str(folder), "--name", "torch").code == 0
    assert listed(paas_command)["torch"]["source"] == str(folder)
    assert paas_command("lamp:say").out == "hi\n"
    assert paas_command("plugin:install", str(folder), "--name", "Bad Name").code == 1


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import nothing_like_that", "ModuleNotFoundError: No module named 'nothing_like_that'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("this is no python", "SyntaxError"),
        (
            "from paas.plugins import hookimpl\n@hookimpl\ndef paas_no_such(): ...",
            "there is no hook paas_no_such",
        ),
        ("from paas.plugins import hookimpl\n@hookimpl\ndef paas_routes(nonsense): ...", "nonsense"),
        (saying("x", group="apps"), "the commands apps:* are there already"),
        (saying("x", group="redirect"), "the commands redirect:* are there already"),
        (saying("x").replace('"say"', '":apps:list"'), "apps:list does not belong to lamp:*"),
        (
            "from paas.plugins import hookimpl\n@hookimpl\ndef paas_command_groups():\n    return [1]",
            "no Group",
        ),
        ("import os\nos._exit(7)", "exit 7"),
    ],
    ids=lambda text: text[:20] if isinstance(text, str) else None,
)
def test_what_can_not_be_loaded_is_refused_and_leaves_nothing(
    paas_command: Commands, tmp_path: Path, settings: Settings, code: str, why: str
) -> None:
    folder = write_plugin(tmp_path / "source", code)
    said = paas_command("plugin:install", str(folder))
    assert said.code == 1 and said.out == ""
    assert why in said.err and "Nothing was changed" in said.err
    assert len(said.err.splitlines()) == 1
    assert list((settings.root / "plugins").iterdir()) == []
    assert "lamp" not in listed(paas_command)


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (None, "it has no plugin.toml"),
        ("[plugin]\nversion = '1'\n", "has no name"),
        ("[plugin]\nname = 'x'\n", "has no version"),
        ("name = 'x'\n", "has no plugin"),
        ("[plugin]\nname = '../x'\nversion = '1'\n", "the name in its plugin.toml is none"),
        ("[plugin]\nname = 'x'\nversion = 1\n", "the version in its plugin.toml is none"),
        ("[plugin\n", "not the TOML"),
        ("plugin = 1\n", "not the TOML"),
    ],
)
def test_what_is_no_plugin(paas_command: Commands, tmp_path: Path, manifest: str | None, why: str) -> None:
    folder = write_plugin(tmp_path / "source", "")
    if manifest is None:
        (folder / "plugin.toml").unlink()
    else:
        (folder / "plugin.toml").write_text(manifest)
    said = paas_command("plugin:install", str(folder))
    assert said.code == 1 and why in said.err and "Nothing was changed" in said.err


def test_a_plugin_of_dokkus_says_what_is_wrong(paas_command: Commands, tmp_path: Path) -> None:
    folder = write_plugin(tmp_path / "source", "")
    (folder / "__init__.py").unlink()
    (folder / "commands").write_text("#!/bin/sh\n")
    assert "Dokku's own plugins are programs" in paas_command("plugin:install", str(folder)).err


def test_what_is_neither_a_folder_nor_a_url(paas_command: Commands) -> None:
    for given in ("/no/such/folder", "file:///etc", "ext::sh -c id", "--upload-pack=x"):
        said = paas_command("plugin:install", "--", given)
        assert said.code == 1 and "Nothing was changed" in said.err, given
    assert paas_command("plugin:install").code == 2


def test_what_came_with_paas_stays_and_names_must_exist(paas_command: Commands) -> None:
    assert "came with paas" in paas_command("plugin:uninstall", "redirect").err
    assert "came with paas" in paas_command("plugin:update", "redirect").err
    for verb in ("enable", "disable", "update", "uninstall"):
        assert "There is no plugin nope" in paas_command(f"plugin:{verb}", "nope").err
        assert paas_command(f"plugin:{verb}").code == 2
    paas_command("plugin:disable", "redirect")
    assert paas_command("redirect:list").code == 1
    paas_command("plugin:enable", "redirect")
    assert paas_command("redirect:list").code == 0


def test_a_plugin_that_breaks_later_is_left_out(
    paas_command: Commands, tmp_path: Path, settings: Settings
) -> None:
    paas_command("plugin:install", str(write_plugin(tmp_path / "source", saying("hi"))))
    place = copy_of(settings)
    (place / "__init__.py").write_text("import nothing_like_that")
    loading.current(None)  # another process would not have it loaded
    loading._modules.pop(place)
    assert paas_command("apps:list").code == 0
    assert "nothing_like_that" in str(listed(paas_command)["lamp"]["error"])
    assert "lamp is left out" in paas_command("plugin:list").err
    assert paas_command("plugin:uninstall", "lamp").code == 0


def test_a_damaged_list_of_plugins(paas_command: Commands, settings: Settings) -> None:
    paas_command("apps:list")
    registry.path(settings).write_text("{")
    assert paas_command("apps:list").code == 0
    said = paas_command("plugin:list")
    assert said.code == 1 and "plugins.json can't be read" in said.err


def test_only_administrators_may_install(session: Session, tmp_path: Path) -> None:
    session.caller = Caller("x", "hook")
    with pytest.raises(plugins.NotAllowed):
        plugins.install(session, str(tmp_path), "", "")
    assert plugins.may_change(Caller("admin", "ssh", 1)) and plugins.may_change(Caller("root", "host"))


HOOKS = """
from paas.errors import PaasError
from paas.plugins import hookimpl


@hookimpl
def paas_app_created(session, app):
    session.properties.set(app.id, "lamp", "created", app.name)
    if app.name == "refused":
        raise PaasError("No app of this name")
    if app.name == "broken":
        raise ZeroDivisionError


@hookimpl
def paas_app_renamed(session, app, old_name):
    session.properties.set(app.id, "lamp", "renamed", f"{old_name} {app.name}")


@hookimpl
def paas_app_cloned(session, app, original):
    session.properties.set(app.id, "lamp", "cloned", f"{original.name} {app.name}")


@hookimpl
def paas_container_options(phase):
    return ["--label", f"lamp={phase}"]


@hookimpl
def paas_routes(session, app):
    broken = {key for key, found in session.properties.by_app("lamp", app).items() if "dark" in found}
    return {key: lambda route: 1 / 0 for key in broken}
"""


def test_hooks_about_apps(paas_command: Commands, tmp_path: Path, session: Session) -> None:
    paas_command("plugin:install", str(write_plugin(tmp_path / "source", HOOKS)))
    assert paas_command("apps:create", "first").code == 0
    for name, message in (
        ("refused", "No app of this name"),
        ("broken", "The plugin lamp failed (ZeroDivisionError)"),
    ):
        said = paas_command("apps:create", name)
        assert said.code == 1 and message in said.err
        assert paas_command("apps:exists", name).code == 20
    paas_command("apps:rename", "first", "second")
    paas_command("apps:clone", "second", "third")
    second, third = session.apps.get("second"), session.apps.get("third")
    assert session.properties.all(second.id, "lamp") == {"created": "first", "renamed": "first second"}
    assert session.properties.get(third.id, "lamp", "cloned") == "second third"
    from paas.deploy.containers.container_options import container_options

    assert container_options(session, second, "run")[-2:] == ("--label", "lamp=run")


def test_a_plugin_that_can_not_compute_routes_changes_nothing(
    paas_command: Commands, tmp_path: Path, session: Session
) -> None:
    paas_command("plugin:install", str(write_plugin(tmp_path / "source", HOOKS)))
    paas_command("apps:create", "app")
    app = session.apps.get("app")
    session.properties.set(app.id, "lamp", "dark", "1")
    said = paas_command("domains:add", "app", "x.test")
    assert said.code == 1
    assert "The plugin lamp failed (ZeroDivisionError: division by zero, route of app)" in said.err
    assert "x.test" not in session.apps.domains(app)
    assert paas_command("plugin:disable", "lamp").code == 0
    assert paas_command("domains:add", "app", "x.test").code == 0
    refused = paas_command("plugin:enable", "lamp")
    assert refused.code == 1 and not listed(paas_command)["lamp"]["enabled"]


def test_one_module_for_each_copy(paas_command: Commands, tmp_path: Path, settings: Settings) -> None:
    folder = write_plugin(tmp_path / "source", saying("one"))
    paas_command("plugin:install", str(folder))
    first = loading.current(settings).manager.get_plugin("lamp")
    paas_command("plugin:disable", "redirect")
    assert loading.current(settings).manager.get_plugin("lamp") is first, (
        "what did not change is not loaded again"
    )
    paas_command("plugin:update", "lamp")
    assert loading.current(settings).manager.get_plugin("lamp") is not first
    assert loading.current(settings) is loading.current(settings)
