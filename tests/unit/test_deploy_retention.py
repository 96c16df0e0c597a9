"""How many releases are kept, and which."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.in_process import Commands

from paas.deploy.retire import prune_releases
from paas.deploy.session import Session
from paas.model.names import AppName, ProcessType
from paas.model.release import Manifest, Release


class Untagged:
    """The engine's images, as far as it is told to forget names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def untag(self, name: str) -> None:
        self.names.append(name)


def release(app_id: int, number: int, **changes: Any) -> Release:
    made = Release(
        app_id, number, "pending", number, 0, "", None, None, "sha256:x", f"paas/a:{number}", {}, Manifest({}), {}
    )
    return replace(made, **changes)


def test_the_newest_and_the_one_that_serves_are_kept(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    images = Untagged()
    monkeypatch.setitem(vars(session), "images", images)
    app = session.apps.create(AppName("a"))
    for number in range(1, 13):
        # A change of config goes on with the image of the release before it.
        tag = {"image_tag": "paas/a:11"} if number == 12 else {}
        session.releases.add(release(app.id, number, **tag))
        session.releases.keep(release(app.id, number))
    session.releases.commit(app, release(app.id, 2), [], {ProcessType("web"): 1}, {}, [])
    app = session.apps.get("a")
    prune_releases(session, app)
    assert [item.number for item in session.releases.all(app)] == [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]
    assert images.names == ["paas/a:1"]
    session.properties.set(app.id, "releases", "retention", "1")
    prune_releases(session, app)
    assert [item.number for item in session.releases.all(app)] == [12, 2]
    assert "paas/a:11" not in images.names and "paas/a:2" not in images.names


def test_retention_is_a_number(paas_command: Commands) -> None:
    assert paas_command("apps:create", "a").code == 0
    assert paas_command("releases:set", "a", "retention", "3").code == 0
    assert paas_command("releases:set", "--global", "retention", "20").code == 0
    assert paas_command("releases:report", "a", "--releases-computed-retention").out == "3\n"
    assert paas_command("releases:set", "a", "retention", "0").code == 1
