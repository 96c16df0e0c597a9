"""Mounts, as users write them and as `docker run` reads them."""

from __future__ import annotations

import dataclasses

import pytest

from paas.errors import PaasError
from paas.model import storage
from paas.model.storage import Attachment


@pytest.mark.parametrize(
    ("text", "entry", "mount"),
    [
        ("/var/lib/dokku/data/storage/d1:/data", "legacy-7bde37723b", "/var/lib/dokku/data/storage/d1:/data"),
        ("/srv/x/:/data/", "legacy-", "/srv/x:/data"),
        ("/srv/x:/data:z,ro", "legacy-", "/srv/x:/data:ro,z"),
        ("/:/host:ro", "legacy-", "/:/host:ro"),
        ("my_volume:/data:nocopy", "legacy-", "my_volume:/data:nocopy"),
    ],
)
def test_a_mount_by_path(text: str, entry: str, mount: str) -> None:
    item = Attachment.parse(text)
    assert item.mount == mount and item.entry_name.startswith(entry)
    assert Attachment.load(item.dump()) == item


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "two valid paths"),
        ("/only", "two valid paths"),
        ("/a:b", "two valid paths"),
        ("/a:/b:ro:z", "two valid paths"),
        ("/a:", "two valid paths"),
        (":/b", "Volume name must be two characters or more."),
        ("v:/b", "Volume name must be two characters or more."),
        ("-v:/b", "Volume name must be two characters or more."),
        ("../x:/b", "Volume name must be two characters or more."),
        ("/a/..:/b", "Invalid path: /a/.."),
        ("/a:/b/../c", "Invalid path: /b/../c"),
        ("/a:/", "Invalid path: /"),
        ("/a\nb:/c", r"Invalid path: /a\nb"),
        ("/a:/b:", "Invalid volume options"),
        ("/a:/b:ro,rw", "Invalid volume options"),
        ("/a:/b:ro --privileged", "Invalid volume options"),
    ],
)
def test_what_is_no_mount(text: str, said: str) -> None:
    with pytest.raises(PaasError) as caught:
        Attachment.parse(text)
    assert said in str(caught.value)


def test_below_an_entry() -> None:
    item = Attachment("e", "/srv/e", "/data", subpath=storage.relative_path("a//./b/"), volume_options="z")
    assert item.mount == "/srv/e/a/b:/data:z"
    assert dataclasses.replace(item, readonly=True).mount == "/srv/e/a/b:/data:ro,z"
    for text in ("/a", "a/../b", "..", "", ".", "a:b", "-a"):
        with pytest.raises(storage.InvalidSubpath):
            storage.relative_path(text)


def test_phases_owners_and_modes() -> None:
    assert storage.phases([]) == ("deploy", "run")
    assert storage.phases(["run,deploy"]) == ("deploy", "run")
    assert storage.phases(["run"]) == ("run",)
    assert (storage.owner("heroku"), storage.owner("root"), storage.owner("70000")) == (1000, 0, 70000)
    assert storage.owner("false") is None
    assert storage.mode("0750") == storage.mode("750") == 0o750
    for read, text in (
        (storage.owner, "1000:1000"), (storage.owner, "-1"), (storage.owner, "9" * 12), (storage.owner, "me"),
        (storage.mode, "4755"), (storage.mode, "8"), (storage.mode, "u+x"), (storage.entry_name, "Up"),
        (storage.entry_name, "legacy-x"), (storage.entry_name, "a" * 46), (storage.entry_name, "-a"),
        (storage.directory, "a/b"), (storage.directory, "-a"), (storage.directory, "ä"),
    ):  # fmt: skip
        with pytest.raises(PaasError):
            read(text)
    with pytest.raises(storage.InvalidPhase):
        storage.phases(["build"])
