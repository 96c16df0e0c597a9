"""What a client began to send is kept for a day."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from paas.engine.images import is_containerd_store
from paas.settings import Settings
from paas.store.uploads import KEPT_SECONDS, Uploads, forget_old

A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


@pytest.fixture
def root(tmp_path: Path) -> Settings:
    return Settings.from_environment({"PAAS_ROOT": str(tmp_path)})


def test_kept_bytes_are_counted_and_cleared(root: Settings) -> None:
    uploads = Uploads(root, 7)
    assert uploads.sizes([A, B]) == {}
    uploads.forget_others([A])
    uploads.folder.mkdir(parents=True)
    uploads.path(A).write_bytes(b"12345")
    assert uploads.sizes([A, B]) == {A: 5} and list(uploads.read(A)) == [b"12345"]
    uploads.forget_others([B])
    assert uploads.sizes([A, B]) == {}
    uploads.clear()
    assert not uploads.folder.exists()


def test_only_old_ones_are_forgotten(root: Settings) -> None:
    forget_old(root)
    for app_id, age in ((1, KEPT_SECONDS + 60), (2, 60)):
        uploads = Uploads(root, app_id)
        uploads.folder.mkdir(parents=True)
        uploads.path(A).write_bytes(b"x")
        then = time.time() - age
        os.utime(uploads.path(A), (then, then))
    forget_old(root)
    assert [path.name for path in root.uploads_dir.iterdir()] == ["2"]


def test_containerds_image_store_is_told_from_the_others() -> None:
    assert is_containerd_store({"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]})
    assert not is_containerd_store({"DriverStatus": [["Backing Filesystem", "extfs"]]})
    assert not is_containerd_store({"DriverStatus": None})
