"""The ways in over ssh, looked at by ssh-audit and by clients that want more than a command."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
from conftest import Start
from paramiko.auth_handler import AuthHandler
from paramiko.message import Message
from support.doors import Door
from support.server import Paas, run

USERAUTH_REQUEST = b"\x32"
CLASSICAL = "curve25519-sha256,ecdh-sha2-nistp256,diffie-hellman-group16-sha512"


def audit(paas: Paas) -> dict[str, Any]:
    words = [sys.executable, "-m", "ssh_audit.ssh_audit", "--json", "--skip-rate-test"]
    result: dict[str, Any] = json.loads(run([*words, "-p", str(paas.ssh_port), "127.0.0.1"]).ok())
    return result


def test_ssh_audit_has_nothing_to_say(paas: Paas) -> None:
    found = audit(paas)
    said = [
        (kind, item["algorithm"], level, text)
        for kind in ("kex", "key", "enc", "mac")
        for item in found[kind]
        for level in ("warn", "fail")
        for text in item["notes"].get(level, [])
    ]
    assert said == []
    assert found["cves"] == [] and found["recommendations"] == {}
    offered = {kind: [item["algorithm"] for item in found[kind]] for kind in ("kex", "key", "enc", "mac")}
    # Terrapin: packets that are counted from the start, and no cipher that it is about.
    assert "kex-strict-s-v00@openssh.com" in offered["kex"]
    assert {"sntrup761x25519-sha512@openssh.com", "mlkem768x25519-sha256"} <= set(offered["kex"])
    assert offered["key"] == ["ssh-ed25519"]
    assert all("gcm" in name for name in offered["enc"])
    assert found["compression"] == ["none"]


@pytest.mark.parametrize("name", ["sntrup761x25519-sha512", "sntrup761x25519-sha512@openssh.com"])
def test_openssh_agrees_on_sntrup761(host: Door, name: str) -> None:
    words = host.ssh_command("version")
    for _ in range(5):  # Each with other random polynomials.
        assert run([*words[:1], "-o", f"KexAlgorithms={name}", *words[1:]], env=host.paas.env).ok()


@contextlib.contextmanager
def transport(paas: Paas, kex: str) -> Iterator[paramiko.Transport]:
    """paramiko as a client that knows one key exchange."""
    connection = paramiko.Transport(socket.create_connection(("127.0.0.1", paas.ssh_port)))
    try:
        connection.get_security_options().kex = (kex,)
        connection.start_client(timeout=20)
        yield connection
    finally:
        connection.close()


def test_paramiko_agrees_on_mlkem(paas: Paas) -> None:
    with transport(paas, "mlkem768x25519-sha256") as client:
        client.auth_publickey("x", paramiko.Ed25519Key(filename=str(paas.key)))
        assert says(client, "version")


def test_a_client_of_yesterday_is_told_so(host: Door) -> None:
    words = host.ssh_command("version")
    result = run([*words[:1], "-o", f"KexAlgorithms={CLASSICAL}", "-o", "LogLevel=INFO", *words[1:]], env=host.paas.env)
    assert result.code == 255
    assert "no matching key exchange method found" in result.err


def says(client: paramiko.Transport, command: str) -> str:
    channel = client.open_session(timeout=20)
    channel.exec_command(command)
    with channel.makefile("rb") as output:
        text: str = output.read().decode()
    return text


class Impostor(paramiko.Ed25519Key):
    """The public half of one key, the private half of another."""

    def __init__(self, shown: paramiko.PKey, own: Path) -> None:
        super().__init__(filename=str(own))
        self.shown = shown

    def asbytes(self) -> bytes:
        return self.shown.asbytes()


def test_offering_the_administrators_key_gives_nothing(host: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: offer the administrator's public key, never prove it, then log in with a key that may do nothing."""
    paas = host.paas
    # The answer that such a key would do has a number that paramiko's client doesn't expect here.
    monkeypatch.setattr(AuthHandler, "_parse_userauth_info_request", lambda *_: None)
    host.ssh("apps:create", "prize").ok()
    host.ssh("ssh-keys:add", "--role", "view:prize", "mallory", input=host.add_key("mallory")).ok()
    own = paas.root.parent / "embedded.mallory"
    admin = paramiko.Ed25519Key(filename=str(paas.key))
    with transport(paas, "mlkem768x25519-sha256") as client:
        # The question whether a key would do, as OpenSSH asks it, between the login's own messages.
        asked = Message()
        asked.add_byte(USERAUTH_REQUEST)
        for part in ("x", "ssh-connection", "publickey"):
            asked.add_string(part)
        asked.add_boolean(False)
        asked.add_string("ssh-ed25519")
        asked.add_string(admin.asbytes())
        with pytest.raises(paramiko.AuthenticationException):
            client.auth_publickey("x", Impostor(admin, own))
        client._send_message(asked)  # type: ignore[attr-defined]
        client.auth_publickey("x", paramiko.Ed25519Key(filename=str(own)))
        # After the login nobody asks again who it is.
        client._send_message(asked)  # type: ignore[attr-defined]
        assert json.loads(says(client, "apps:list --format json")) == ["prize"]
        assert "mallory" in says(client, "access:list") and "admin" not in says(client, "access:list")
        assert says(client, "apps:create stolen") == ""
    assert json.loads(host.ssh("apps:list", "--format", "json").ok()) == ["prize"]


def test_ten_keys_a_connection(paas: Paas, tmp_path: Path) -> None:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")]).ok()
    wrong = paramiko.Ed25519Key(filename=str(tmp_path / "key"))
    with transport(paas, "mlkem768x25519-sha256") as client:
        tried = 0
        # The second where it is hung up on while it still writes.
        with pytest.raises((paramiko.SSHException, EOFError)):
            while tried < 20:
                try:
                    tried += 1
                    client.auth_publickey("x", wrong)
                except paramiko.AuthenticationException:
                    if not client.is_active():
                        raise
        assert tried in (10, 11)  # The client may try once more before it has read that it was hung up on.


FORWARDING = {
    "tcp": ["-o", "ExitOnForwardFailure=yes", "-W", "127.0.0.1:{port}"],
    "tcp back": ["-o", "ExitOnForwardFailure=yes", "-N", "-R", "0:127.0.0.1:{port}"],
    "unix back": ["-o", "ExitOnForwardFailure=yes", "-N", "-R", "{folder}/back:127.0.0.1:{port}"],
    "tunnel": ["-o", "ExitOnForwardFailure=yes", "-N", "-w", "any:any"],
    "subsystem": ["-s"],
}


@pytest.mark.parametrize("kind", FORWARDING)
def test_nothing_is_forwarded(door: Door, tmp_path: Path, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        options = [item.format(port=port, folder=tmp_path) for item in FORWARDING[kind]]
        words = door.ssh_command(*(["sftp"] if kind == "subsystem" else []))
        result = run([words[0], *options, *words[1:]], env=door.paas.env, timeout=20)
        assert result.code != 0
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert not (tmp_path / "back").exists()


def test_a_unix_socket_is_not_reached(door: Door, tmp_path: Path, start: Start) -> None:
    """Attack: a forwarded Docker socket is root."""
    with socket.socket(socket.AF_UNIX) as target, socket.socket(socket.AF_UNIX) as client:
        target.bind(str(tmp_path / "docker.sock"))
        target.listen()
        here = tmp_path / "here"
        words = door.ssh_command("-v", "-N", "-L", f"{here}:{tmp_path}/docker.sock")
        # ssh takes options after the host, too.
        ssh = start(words, door.paas.env)
        ssh.says("Entering interactive session")
        client.connect(str(here))
        ssh.says("open failed")
        target.setblocking(False)
        with pytest.raises(BlockingIOError):
            target.accept()


def test_no_agent_no_display_no_environment(door: Door) -> None:
    options = ["-A", "-X", "-o", "SetEnv=LD_PRELOAD=/evil GIT_TRACE=1 PAAS_ROOT=/evil", "-o", "LogLevel=ERROR"]
    words = door.ssh_command("apps:list", "--format", "json")
    assert run([words[0], *options, *words[1:]], env=door.paas.env).ok().startswith("[")


def test_what_the_machines_sshd_is_told(host: Door) -> None:
    """Only a number of ours goes through its shell, and nothing but a command and a terminal is allowed."""
    host.ssh("ssh-keys:add", "ann", input=host.add_key("ann")).ok()
    lines = (host.paas.root / ".ssh" / "authorized_keys").read_text().splitlines()
    assert len(lines) >= 2
    for line in lines:
        assert re.fullmatch(
            r'command="PAAS_ROOT=\S+ PAAS_PYTHON=\S+ \S+/stub\.py --ssh [0-9]+",restrict,pty ssh-ed25519 \S+ [\w.-]+', line
        )


def test_the_host_key_stays(paas: Paas) -> None:
    before = audit(paas)["fingerprints"]
    paas.stop()
    paas.start()
    assert audit(paas)["fingerprints"] == before
    assert (paas.root / "ssh" / "host_ed25519").stat().st_mode & 0o777 == 0o600
