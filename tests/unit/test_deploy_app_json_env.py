"""What app.json's env does to the config of a release."""

from __future__ import annotations

import dataclasses

import pytest

from paas.deploy.files.app_json_env import NoValue, with_env
from paas.deploy.session import Session
from paas.model.names import AppName
from paas.model.release import WEB, Manifest, Variable
from paas.store.apps import App
from paas.store.config import Config
from paas.store.properties import GLOBAL


@pytest.fixture
def app(session: Session) -> App:
    return session.apps.create(AppName("shop"))


def said(session: Session) -> list[str]:
    return session.console.out.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def manifest(*variables: Variable) -> Manifest:
    return Manifest({WEB: None}, env=variables)


def test_the_first_deploy_fills_what_is_not_set(session: Session, app: App) -> None:
    Config(session.database, GLOBAL).replace({"EVERYWHERE": "global"})
    wanted = manifest(
        Variable("NEW", "default"),
        Variable("SET", "default"),
        Variable("EVERYWHERE", "default"),
        Variable("SECRET", generate=True),
        Variable("OPTIONAL", required=False),
        Variable("SYNCED", "new", sync=True),
    )
    found = with_env(session, app, wanted, {"SET": "own", "SYNCED": "old"})
    secret = found.pop("SECRET")
    assert found == {"NEW": "default", "SET": "own", "SYNCED": "new"}
    assert len(secret) == 64 and int(secret, 16)
    assert said(session) == [
        "-----> Processing app.json env vars",
        "-----> Setting 3 env var(s) from app.json",
    ]
    assert session.config(app).all() == {}, "it is the release's commit that stores it"


def test_later_deploys_only_keep_in_step_what_is_to_be(session: Session, app: App) -> None:
    wanted = manifest(
        Variable("NEW", "default"),
        Variable("NEEDED"),
        Variable("SYNCED", "new", sync=True),
        Variable("SECRET", generate=True, sync=True),
    )
    deployed = dataclasses.replace(app, current_release=1)
    assert with_env(session, deployed, wanted, {"SYNCED": "old", "SECRET": "s"}) == {"SYNCED": "new", "SECRET": "s"}
    quiet = manifest(Variable("NEW", "default"))
    assert with_env(session, deployed, quiet, {"A": "b"}) == {"A": "b"}
    assert said(session)[-1] == "       No env vars to set from app.json"


def test_without_env_nothing_is_said(session: Session, app: App) -> None:
    assert with_env(session, app, manifest(), {"A": "b"}) == {"A": "b"} and said(session) == []


def test_what_is_required_and_has_no_value(session: Session, app: App) -> None:
    with pytest.raises(NoValue) as caught:
        with_env(session, app, manifest(Variable("KEY")), {})
    assert str(caught.value).startswith("required env var KEY has no value, no default, and no TTY for prompt")
    assert with_env(session, app, manifest(Variable("KEY")), {"KEY": "v"}) == {"KEY": "v"}
