"""SSH public keys, and the file that sshd reads."""

from __future__ import annotations

import base64
import re
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from paas.model.names import SshKeyName
from paas.store.database import Database
from paas.store.keys import (
    DuplicateKey,
    DuplicateKeyName,
    EmptyKey,
    InvalidKey,
    Keys,
    TooManyKeys,
    canonical,
    fingerprint,
)

NAME = SshKeyName("admin")


def public(key: object) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()  # type: ignore[attr-defined]


def ed25519_key() -> str:
    return public(ed25519.Ed25519PrivateKey.generate())


def wire(*parts: bytes) -> str:
    return base64.b64encode(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).decode()


@pytest.fixture(scope="module")
def weak_rsa() -> str:
    """1024 bits, as OpenSSH writes them; the library makes no such keys any more."""
    modulus = b"\0" + b"\xc1" * 128
    return f"ssh-rsa {wire(b'ssh-rsa', bytes([1, 0, 1]), modulus)}"


@pytest.mark.parametrize(
    "private",
    [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["ed25519", "nistp256", "nistp521", "rsa2048"],
)
def test_usual_keys_come_in(database: Database, private: object) -> None:
    text = public(private)
    key = Keys(database).add(NAME, f"# mine\n\n  {text} me@laptop and more \n")
    assert key.public_key == text
    assert Keys(database).by_fingerprint(key.fingerprint) == Keys(database).by_id(key.id) == key


def test_the_fingerprint_is_that_of_ssh_keygen(tmp_path: Path) -> None:
    text = ed25519_key()
    (tmp_path / "key.pub").write_text(text)
    said = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(tmp_path / "key.pub")], capture_output=True, text=True, check=True
    )
    assert said.stdout.split()[1] == fingerprint(text)


@pytest.mark.parametrize(
    "options",
    ['command="sh"', 'from="10.0.0.1"', "no-pty,restrict", 'environment="LD_PRELOAD=x",command="a b"', "cert-authority"],
)
def test_a_key_with_options_is_refused_with_the_reason(database: Database, options: str) -> None:
    with pytest.raises(InvalidKey, match="has to start with one of ssh-ed25519"):
        Keys(database).add(NAME, f"{options} {ed25519_key()}")
    assert Keys(database).all() == []


def test_a_private_key_is_refused_and_not_repeated(database: Database) -> None:
    private = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
    )
    with pytest.raises(InvalidKey, match="this is a private key") as caught:
        Keys(database).add(NAME, private.decode())
    assert private.decode().splitlines()[1] not in str(caught.value)
    assert Keys(database).all() == []


def test_weak_keys_are_refused(weak_rsa: str) -> None:
    with pytest.raises(InvalidKey, match="2048 bits"):
        canonical(weak_rsa)
    with pytest.raises(InvalidKey, match="has to start with one of"):
        canonical("ssh-dss " + wire(b"ssh-dss", b"x" * 128))


def test_a_long_exponent_does_not_make_a_key_strong() -> None:
    modulus, exponent = b"\0" + b"\xc1" * 128, b"\1" * 128
    with pytest.raises(InvalidKey, match="2048 bits"):
        canonical(f"ssh-rsa {wire(b'ssh-rsa', exponent, modulus)}")


@pytest.mark.parametrize("text", ["", "\n\n", "  ", "# only a comment\n"])
def test_an_empty_key(text: str) -> None:
    with pytest.raises(EmptyKey):
        canonical(text)


def test_two_keys_at_once() -> None:
    with pytest.raises(TooManyKeys):
        canonical(f"{ed25519_key()}\n{ed25519_key()}\n")


@pytest.mark.parametrize(
    "text",
    [
        "hello", "ssh-ed25519", "ssh-ed25519 ???", "ssh-ed25519 AAAA", "ssh-rsa " + wire(b"ssh-ed25519", b"x" * 32),
        "ssh-ed25519 " + wire(b"ssh-rsa", b"x"), "ssh-ed25519 " + wire(b"ssh-ed25519", b"x" * 20000), "ssh-ed25519 é",
        "ssh-rsa " + wire(b"ssh-rsa"), "ssh-dss " + wire(b"ssh-dss", b"x"),
    ],
)  # fmt: skip
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(InvalidKey) as caught:
        canonical(text)
    assert len(caught.value.lines) == 1


def test_one_name_and_one_key_each(database: Database) -> None:
    keys, first = Keys(database), ed25519_key()
    keys.add(NAME, first)
    with pytest.raises(DuplicateKey, match="as admin"):
        keys.add(SshKeyName("other"), f"{first} another-comment")
    with pytest.raises(DuplicateKeyName, match="ssh-keys:remove admin"):
        keys.add(NAME, ed25519_key())
    assert [key.name for key in keys.all()] == ["admin"]


def test_sshd_reads_one_line_a_key_with_only_a_number_of_ours_in_the_command(database: Database) -> None:
    keys = Keys(database)
    first = keys.add(SshKeyName("me@laptop"), f"{ed25519_key()} evil'; $(reboot)")
    second = keys.add(SshKeyName("pipeline"), ed25519_key())
    path = database.settings.root / ".ssh/authorized_keys"
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    for line, key in zip(lines, (first, second), strict=True):
        match = re.fullmatch(r'command="([^"]*)",restrict,pty (\S+ \S+) (\S+)', line)
        assert match is not None
        assert re.search(r"stub\.py --ssh (\d+)$", match[1])[1] == str(key.id)  # type: ignore[index]
        assert key.name not in match[1] and "evil" not in line
        assert (match[2], match[3]) == (key.public_key, key.name)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    subprocess.run(["ssh-keygen", "-l", "-f", str(path)], check=True, capture_output=True)


def test_a_removed_key_is_gone_and_its_number_never_comes_back(database: Database) -> None:
    keys = Keys(database)
    first = keys.add(NAME, ed25519_key())
    keys.remove(first)
    assert (database.settings.root / ".ssh/authorized_keys").read_text() == ""
    second = keys.add(NAME, ed25519_key())
    assert second.id > first.id and keys.by_id(first.id) is None
