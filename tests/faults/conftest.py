"""Fixtures for tests that take something away from a running paas."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.server import Paas, running_paas
from support.small_disk import SmallDisk, small_disk

DISK_MEGABYTES = 96


@pytest.fixture(scope="module")
def disk() -> Iterator[SmallDisk]:
    """A small file system, for PAAS_ROOT."""
    base = Path(tempfile.mkdtemp(prefix="paas-test-", dir="/tmp"))
    try:
        with small_disk(base / "image", base / "disk", DISK_MEGABYTES) as made:
            yield made
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(base)


@pytest.fixture(scope="module")
def paas(disk: SmallDisk, image_names: dict[str, str]) -> Iterator[Paas]:
    """A server whose PAAS_ROOT is on the small disk."""
    with running_paas(base=disk.path) as server:
        yield server
