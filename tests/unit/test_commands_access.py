"""access:*, and the record of changes and refusals."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from support.in_process import Commands, Said

from paas.store.apps import Apps

ROOT = Path(__file__).parent.parent.parent


def public_key(letter: str) -> str:
    parts = (b"ssh-ed25519", letter.encode() * 32)
    return "ssh-ed25519 " + base64.b64encode(b"".join(len(p).to_bytes(4, "big") + p for p in parts)).decode()


@pytest.fixture
def paas(paas_command: Commands) -> Commands:
    for name in ("one", "two"):
        assert paas_command("apps:create", name).code == 0
    return paas_command


def roles(paas: Commands, key: str) -> object:
    [item] = json.loads(paas("access:list", key, "--format", "json").out)
    return "admin" if item["admin"] else item["roles"]


def test_granting_and_revoking(paas: Commands) -> None:
    paas("ssh-keys:add", "ci", "--role", "view:one", "--role", "deploy:two", stdin=public_key("a"))
    assert roles(paas, "ci") == {"one": "view", "two": "deploy"}
    assert paas("access:grant", "ci", "manage", "one").out == "-----> ci has the role manage on one\n"
    assert paas("access:revoke", "ci", "two").code == 0
    assert roles(paas, "ci") == {"one": "manage"}
    assert paas("access:revoke", "ci", "two") == Said(0, "", " !     ci has no role on two; nothing was changed\n")
    assert paas("access:grant", "ci", "admin").code == 0
    assert roles(paas, "ci") == "admin"
    assert paas("access:revoke", "ci", "one").code == 1
    said = paas("access:revoke", "ci")
    assert said.code == 0 and "No key is an administrator's any more" in said.err
    assert roles(paas, "ci") == {}


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (("access:grant", "nobody", "view", "one"), "There is no key named nobody. See the list with ssh-keys:list", 1),
        (("access:grant", "ci", "owner", "one"), "Invalid role: owner. Give view, deploy or manage. Nothing was changed", 1),
        (("access:grant", "ci", "view", "three"), "App three does not exist", 20),
        (("access:grant", "ci", "view"), "Please specify an app to run the command on", 1),
        (("access:grant", "ci", "admin", "one"), "admin is no role on an app: it is everything. Nothing was changed. Leave the app out, or give view, deploy or manage", 1),
        (("access:grant",), "Please specify the key's name", 1),
        (("access:list", "nobody"), "There is no key named nobody. See the list with ssh-keys:list", 1),
    ],
)  # fmt: skip
def test_refusals(paas: Commands, words: tuple[str, ...], message: str, code: int) -> None:
    paas("ssh-keys:add", "ci", "--role", "view:one", stdin=public_key("a"))
    assert paas(*words) == Said(code, "", f" !     {message}\n")
    assert roles(paas, "ci") == {"one": "view"}


@pytest.mark.parametrize("role", ["one", "view:", "view:three", "owner:one", "admin:one", ":one"])
def test_a_key_with_a_wrong_role_is_not_added(paas: Commands, role: str) -> None:
    assert paas("ssh-keys:add", "ci", "--role", role, stdin=public_key("a")).code in (1, 20)
    assert paas("ssh-keys:list", "--format", "json").out == "[]\n"


def test_a_role_goes_with_its_app_and_its_key(paas: Commands, apps: Apps) -> None:
    paas("ssh-keys:add", "ci", "--role", "view:one", stdin=public_key("a"))
    paas("apps:rename", "one", "uno")
    assert roles(paas, "ci") == {"uno": "view"}
    apps.delete(apps.get("uno"))  # apps:destroy would ask an engine for its containers
    paas("apps:create", "uno")
    assert roles(paas, "ci") == {}
    paas("access:grant", "ci", "manage", "two")
    paas("ssh-keys:remove", "ci")
    paas("ssh-keys:add", "ci", "--role", "view:one", stdin=public_key("a"))
    assert paas("access:list", "ci").code == 1
    paas("ssh-keys:add", "ci", "--role", "view:uno", stdin=public_key("a"))
    assert roles(paas, "ci") == {"uno": "view"}


def records(paas: Commands, *words: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in paas("operations", *words, "--format", "json").out.splitlines()]


def test_operations_are_exported_a_line_each(paas: Commands) -> None:
    for number in range(30):
        paas("config:set", "one", f"SECRET=hush{number}")
    paas("ps:scale", "two", "web=2")
    assert len(records(paas)) == 20
    assert len(records(paas, "--since", "1h")) >= 31
    assert [item["kind"] for item in records(paas, "two", "--since", "1h")] == ["ps:scale", "apps:create"]
    assert records(paas, "--since", "1h", "--key", "nobody") == []
    assert records(paas, "--since", "2100-01-01") == []
    found = records(paas, "one", "--since", "1970-01-01", "--key", "admin", "-n", "3")
    assert [item["words"] for item in found] == ["SECRET=********"] * 3
    assert [item["id"] for item in found] == sorted((item["id"] for item in found), key=lambda each: -int(str(each)))
    assert paas("operations", "--since", "soon").code == 1


def test_commands_get_apps_from_where_the_callers_reach_is_known() -> None:
    """`session().apps` knows all apps; only base and git's transport, which the gate has decided for, ask it."""
    asked = re.compile(r"session\(\)\.apps\.(all|names|get|environments|by_id)\(")
    files = [*(ROOT / "paas/commands").glob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    found = {path.name for path in files if asked.search(path.read_text())}
    assert found == {"base.py", "git_transport.py"}
