"""Encryption at rest."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.deploy.session import Session
from paas.model.release import WEB, Manifest, Release
from paas.settings import Settings
from paas.store.config import Config
from paas.store.database import Database
from paas.store.releases import Releases
from paas.store.secrets import SecretKeyWrong, Secrets

VALUE = "s3cr3t-value-that-nobody-may-read"


def test_no_file_of_an_installation_holds_a_config_value(session: Session, settings: Settings) -> None:
    app = session.apps.create("web1")  # type: ignore[arg-type]
    session.config(app).replace({"KEY": VALUE})
    session.releases.add(
        Release(app.id, 1, "pending", 1, 0, "x", None, None, "i", "t", {"KEY": VALUE}, Manifest({WEB: None}), {})
    )
    assert session.config(app).all() == {"KEY": VALUE}
    assert Releases(session.database).all(app)[0].config == {"KEY": VALUE}
    session.database.close()
    files = [path for path in settings.root.rglob("*") if path.is_file()]
    assert settings.database_path in files
    assert [path for path in files if VALUE.encode() in path.read_bytes()] == []
    session.__dict__.pop("database")


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    data = Secrets(path).encrypt("x")
    assert Secrets(path).decrypt(data) == "x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["secret.key"]


@given(text=st.text(), mapping=st.dictionaries(st.text(), st.text(), max_size=3))
def test_what_is_encrypted_comes_back(
    tmp_path_factory: pytest.TempPathFactory, text: str, mapping: dict[str, str]
) -> None:
    secrets = Secrets(tmp_path_factory.getbasetemp() / "hypothesis.key")
    assert secrets.decrypt(secrets.encrypt(text)) == text
    assert secrets.decrypt_mapping(secrets.encrypt_mapping(mapping)) == mapping


def test_bytes_that_are_no_text_come_back(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "secret.key")
    text = b"\xff\x80".decode("utf-8", "surrogateescape")
    assert secrets.decrypt(secrets.encrypt(text)) == text
    assert secrets.decrypt_mapping(secrets.encrypt_mapping({"K": text})) == {"K": text}


def test_another_key_is_told(tmp_path: Path) -> None:
    data = Secrets(tmp_path / "one.key").encrypt("x")
    with pytest.raises(SecretKeyWrong, match=r"other\.key does not fit"):
        Secrets(tmp_path / "other.key").decrypt(data)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 44])
def test_a_key_file_that_holds_no_key_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret.key"
    path.write_bytes(content)
    with pytest.raises(SecretKeyWrong):
        Secrets(path)
    assert path.read_bytes() == content


def test_values_stay_unreadable_with_another_key_but_their_names_are_listed(database: Database) -> None:
    config = Config(database, 1)
    config.replace({"A": "1"})
    stranger = Secrets(database.settings.root / "stranger.key").encrypt("2")
    database.execute("UPDATE config SET value = ?", (stranger,))
    assert config.keys() == ["A"]
    with pytest.raises(SecretKeyWrong):
        config.all()
