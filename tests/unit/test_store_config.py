"""Config and properties."""

from __future__ import annotations

import pytest

from paas.store.config import Config
from paas.store.database import Database
from paas.store.properties import GLOBAL, Properties


def test_config_is_sorted_bytewise(database: Database) -> None:
    config = Config(database, 1)
    config.replace({"b": "1", "a": "2", "B": "3", "_": "4", "A": "5"})
    assert list(config.all()) == config.keys() == ["A", "B", "_", "a", "b"]


@pytest.mark.parametrize("value", ["", " x ", "a\nb\r\n", "'\"$`\\", "ü\U0001f600", "=", "x" * 100_000])
def test_a_value_comes_back_as_it_was_given(database: Database, value: str) -> None:
    config = Config(database, 1)
    config.replace({"K": value})
    assert config.get("K") == value and config.all() == {"K": value}


def test_replacing_forgets_the_rest(database: Database) -> None:
    config = Config(database, 1)
    config.replace({"A": "1", "B": "2"})
    config.replace({"B": "3"})
    assert config.all() == {"B": "3"}
    assert config.get("A") is None


def test_an_apps_own_value_wins_over_the_global_one(database: Database) -> None:
    Config(database, GLOBAL).replace({"Z": "global", "A": "global"})
    own, other = Config(database, 1), Config(database, 2)
    own.replace({"A": "own", "b": "own"})
    assert list(own.merged().items()) == [("A", "own"), ("Z", "global"), ("b", "own")]
    assert own.all() == {"A": "own", "b": "own"}
    assert other.merged() == {"A": "global", "Z": "global"} and other.all() == {}


def test_a_property_is_the_apps_own_or_the_global_one_or_the_default(database: Database) -> None:
    properties = Properties(database)
    assert properties.computed(1, "git", "deploy-branch", "master") == "master"
    properties.set(GLOBAL, "git", "deploy-branch", "main")
    assert properties.computed(1, "git", "deploy-branch", "master") == "main"
    properties.set(1, "git", "deploy-branch", "live")
    properties.set(1, "git", "deploy-branch", "live2")
    assert properties.computed(1, "git", "deploy-branch", "master") == "live2"
    assert properties.get(2, "git", "deploy-branch", "none") == "none"
    properties.set(1, "git", "deploy-branch", "")
    assert properties.computed(1, "git", "deploy-branch", "master") == "main"
