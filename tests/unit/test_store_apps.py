"""Apps, their domains, formation and slots."""

from __future__ import annotations

import pytest

from paas.errors import NO_SUCH_APP, AppNotFound, NameTaken
from paas.model.names import AppName, ProcessType
from paas.settings import Settings
from paas.store.apps import App, Apps
from paas.store.config import Config
from paas.store.database import Database
from paas.store.properties import GLOBAL, Properties


def create(apps: Apps, name: str) -> App:
    return apps.create(AppName.parse(name))


def test_a_new_app_has_one_web_process_and_a_domain(apps: Apps) -> None:
    app = create(apps, "web1")
    assert (app.name, app.deployed, app.stopped, app.slot) == ("web1", False, False, 1)
    assert apps.formation(app) == {ProcessType("web"): 1}
    assert apps.domains(app) == ["web1.localhost"]
    assert apps.by_id(app.id) == apps.get("web1") == app


def test_names_are_taken_once(apps: Apps) -> None:
    create(apps, "a")
    with pytest.raises(NameTaken):
        create(apps, "a")
    assert apps.names() == ["a"]


def test_apps_are_listed_bytewise(apps: Apps) -> None:
    for name in ("b", "a-b", "a.b", "ab", "a0"):
        create(apps, name)
    assert apps.names() == ["a-b", "a.b", "a0", "ab", "b"] == [app.name for app in apps.all()]


@pytest.mark.parametrize("name", ["nope", "Bad_Name", "", "a\nb", "' OR 1=1 --"])
def test_an_app_that_does_not_exist(apps: Apps, name: str) -> None:
    create(apps, "a")
    with pytest.raises(AppNotFound) as caught:
        apps.get(name)
    assert caught.value.exit_code == NO_SUCH_APP
    assert len(caught.value.lines) == 1


def test_a_name_with_a_dot_is_its_own_domain(apps: Apps) -> None:
    assert apps.domains(create(apps, "www.example.com")) == ["www.example.com"]


def test_every_global_domain_gives_a_default_domain(apps: Apps, database: Database) -> None:
    Properties(database).set(GLOBAL, "domains", "global", "one.org two.org")
    assert apps.domains(create(apps, "a")) == ["a.one.org", "a.two.org"]


def test_a_domain_stays_with_the_app_that_has_it(apps: Apps, database: Database) -> None:
    first = create(apps, "a")
    database.execute("INSERT INTO domains VALUES ('b.localhost', ?)", (first.id,))
    second = create(apps, "b")
    assert apps.domains(first) == ["a.localhost", "b.localhost"]
    assert apps.domains(second) == []


def test_a_renamed_app_keeps_all_but_its_default_domains(apps: Apps, database: Database) -> None:
    app = create(apps, "a")
    database.execute("INSERT INTO domains VALUES ('my.org', ?)", (app.id,))
    Config(database, app.id).replace({"K": "v"})
    renamed = apps.rename(app, AppName("b"))
    assert (renamed.id, renamed.name, renamed.slot) == (app.id, "b", app.slot)
    assert sorted(apps.domains(renamed)) == ["b.localhost", "my.org"]
    assert Config(database, renamed.id).all() == {"K": "v"}
    assert apps.names() == ["b"]


def test_a_taken_name_leaves_both_apps_as_they_were(apps: Apps) -> None:
    first, second = create(apps, "a"), create(apps, "b")
    with pytest.raises(NameTaken):
        apps.rename(first, second.name)
    assert apps.names() == ["a", "b"] and apps.domains(first) == ["a.localhost"]


def test_a_deleted_app_leaves_nothing_to_its_successor(apps: Apps, database: Database) -> None:
    app = create(apps, "a")
    Config(database, app.id).replace({"K": "v"})
    Properties(database).set(app.id, "git", "deploy-branch", "main")
    apps.set_formation(app, {ProcessType("worker"): 3})
    apps.delete(app)
    assert apps.all() == [] and apps.by_id(app.id) is None
    successor = create(apps, "a")
    assert successor.id != app.id
    assert Config(database, successor.id).all() == {}
    assert Properties(database).get(successor.id, "git", "deploy-branch") == ""
    assert apps.formation(successor) == {ProcessType("web"): 1}
    assert apps.domains(successor) == ["a.localhost"]
    assert database.rows("SELECT * FROM config") == []


def test_the_lowest_free_slot_is_used_again(apps: Apps) -> None:
    by_name = {name: create(apps, name) for name in "abcd"}
    assert [by_name[name].slot for name in "abcd"] == [1, 2, 3, 4]
    apps.delete(by_name["c"])
    apps.delete(by_name["a"])
    assert [create(apps, name).slot for name in "efg"] == [1, 3, 5]


def test_a_formation_is_replaced_and_sorted(apps: Apps) -> None:
    app = create(apps, "a")
    apps.set_formation(app, {ProcessType("worker"): 0, ProcessType("clock"): 2})
    assert list(apps.formation(app).items()) == [("clock", 2), ("worker", 0)]


def test_an_app_can_be_stopped_and_started(apps: Apps) -> None:
    app = create(apps, "a")
    apps.set_stopped(app, True)
    assert apps.get("a").stopped
    apps.set_stopped(app, False)
    assert not apps.get("a").stopped


def test_the_domain_of_the_installation_counts(database: Database, settings: Settings) -> None:
    assert settings.domain == "localhost"
    assert Apps(database).global_domains() == ["localhost"]
