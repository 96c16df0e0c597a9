"""ssh-keys:* and the record of operations, as people see them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from support.in_process import Commands, Said

from paas.deploy.session import Session
from paas.model.names import AppName
from paas.settings import Settings


def key(letter: str) -> str:
    parts = (b"ssh-ed25519", letter.encode() * 32)
    return "ssh-ed25519 " + base64.b64encode(b"".join(len(p).to_bytes(4, "big") + p for p in parts)).decode()


def test_a_key_from_standard_input(paas_command: Commands, settings: Settings) -> None:
    said = paas_command("ssh-keys:add", "admin", stdin=f"{key('a')} me@laptop\n", door="ssh")
    assert said.code == 0 and said.out.startswith("SHA256:")
    assert said.err.startswith(" !     admin is an administrator's key: it may do everything here. ")
    line = f'{said.out.strip()} NAME="admin" SSHCOMMAND_ALLOWED_KEYS="restrict,pty" ROLES="admin"\n'
    assert paas_command("ssh-keys:list") == paas_command("ssh-keys:list", "admin") == Said(0, line, "")
    assert (settings.root / ".ssh/authorized_keys").read_text().endswith(f"{key('a')} admin\n")


def test_a_key_from_a_file_of_the_host_but_not_over_ssh(paas_command: Commands, tmp_path: Path) -> None:
    path = tmp_path / "key.pub"
    path.write_text(key("a"))
    said = paas_command("ssh-keys:add", "admin", str(path), door="ssh")
    assert said.code == 1 and "it is a path on the server" in said.err
    assert paas_command("ssh-keys:list").code == 1
    assert paas_command("ssh-keys:add", "admin", str(path)).code == 0


def test_a_file_that_can_not_be_read(paas_command: Commands, tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "no\nfile", "No such file or directory"), (tmp_path, "Is a directory")):
        said = paas_command("ssh-keys:add", "admin", str(path))
        assert said.code == 1 and reason in said.err and said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        ("", "Empty key was specified"),
        (f"{key('a')}\n{key('b')}", "Too many keys provided, set one per invocation of ssh-keys:add <NAME> <KEY_FILE>"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "Key specified in is not a valid ssh public key (this is a private key; give the .pub file)"),
    ],
)  # fmt: skip
def test_what_is_no_key(paas_command: Commands, stdin: str, message: str) -> None:
    assert paas_command("ssh-keys:add", "admin", stdin=stdin) == Said(1, "", f" !     {message}\n")


@pytest.mark.parametrize("name", ["a b", "a\nb", '"', "$(x)"])
def test_what_is_no_key_name(paas_command: Commands, name: str) -> None:
    said = paas_command("ssh-keys:add", name, stdin=key("a"))
    assert said.code == 1 and said.err.startswith(" !     Invalid key name: ") and said.err.count("\n") == 1


def test_listing(paas_command: Commands) -> None:
    no_keys = paas_command("ssh-keys:list")
    assert no_keys.code == 1 and no_keys.err.startswith(" !     There are no keys yet")
    assert paas_command("ssh-keys:list", "--format", "json") == Said(0, "[]\n", "")
    for letter in "ab":
        paas_command("ssh-keys:add", letter, stdin=key(letter))
    items = json.loads(paas_command("ssh-keys:list", "--format", "json").out)
    assert [(item["name"], item["public-key"]) for item in items] == [("a", key("a")), ("b", key("b"))]
    assert sorted(items[0]) == [
        "SSHCOMMAND_ALLOWED_KEYS", "admin", "fingerprint", "name", "public-key", "roles",
    ]  # fmt: skip
    assert paas_command("ssh-keys:list", "nope", "--format", "json") == Said(0, "[]\n", "")
    assert paas_command("ssh-keys:list", "nope").code == 1
    said = paas_command("ssh-keys:list", "--format", "xml")
    assert said == Said(1, "", " !     Invalid output format specified, supported formats: json, text\n")


def test_removing(paas_command: Commands, settings: Settings) -> None:
    mark = paas_command("ssh-keys:add", "a", stdin=key("a")).out.strip()
    assert paas_command("ssh-keys:remove", "nope").code == 0
    assert paas_command("ssh-keys:remove", "--fingerprint", mark) == Said(0, f"-----> Removed a ({mark})\n", "")
    assert (settings.root / ".ssh/authorized_keys").read_text() == ""
    paas_command("ssh-keys:add", "a", stdin=key("a"))
    assert paas_command("ssh-keys:remove", "a").code == 0
    assert paas_command("ssh-keys:list", "--format", "json").out == "[]\n"


def test_the_record_of_operations(paas_command: Commands) -> None:
    paas_command("apps:create", "a")
    paas_command("config:set", "a", "K=v")
    paas_command("ps:scale", "a", "web=2")
    records = [json.loads(line) for line in paas_command("operations", "a", "--format", "json").out.splitlines()]
    assert [(item["kind"], item["words"], item["caller"], item["door"], item["status"]) for item in records] == [
        ("ps:scale", "web=2", "admin", "host", "succeeded"),
        ("config:set", "K=********", "admin", "host", "succeeded"),
        ("apps:create", "", "admin", "host", "succeeded"),
    ]
    lines = paas_command("operations").out.splitlines()
    assert lines[0] == "=====> Operations"
    assert lines[1].split() == ["ID", "App", "What", "By", "Started", "Took", "Status"]
    assert lines[2].startswith("3   a    ps:scale web=2 ") and lines[2].endswith("succeeded")
    assert len(paas_command("operations", "-n", "1").out.splitlines()) == 3


def test_an_operation_that_does_not_exist(paas_command: Commands) -> None:
    for command in ("operation:logs", "operation:follow", "operation:cancel"):
        said = paas_command(command, "#7")
        assert said == Said(1, "", " !     Operation #7 not found. See the list with operations\n")


def test_the_log_of_an_operation_is_read_again(paas_command: Commands, session: Session) -> None:
    app = session.apps.create(AppName("a"))
    record = session.operations.start(app, "x", "", session.caller)
    session.operations.log_path(record.id).write_bytes(b"-----> \xff done\n")
    session.operations.finish(record.id, "failed", "why\nand how")
    out = b"-----> \xff done\n".decode(errors="replace")
    assert paas_command("operation:logs", str(record.id)) == Said(0, out, "")
    followed = paas_command("operation:follow", f"#{record.id}")
    assert followed == Said(1, out, " !     Operation #1 failed: why\n")
    said = paas_command("operation:cancel", "1")
    assert said.code == 1 and said.err.startswith(" !     Operation #1 has already failed. ")
