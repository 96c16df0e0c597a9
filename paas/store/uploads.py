"""Layers that a client began to send: what came is kept until the image is complete, so that a broken connection costs
only what is still missing. One image an app, for a day at most."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from paas.model.layers import is_id
from paas.settings import Settings

KEPT_SECONDS = 24 * 3600.0
READ_BYTES = 1024 * 1024


class Uploads:
    """The kept layers of one app; the app's lock decides who writes."""

    def __init__(self, settings: Settings, app_id: int) -> None:
        self.folder = settings.uploads_dir / str(app_id)

    def sizes(self, layers: Collection[str]) -> dict[str, int]:
        """How many bytes of each of these layers are here; those without any are left out."""
        found = {}
        for diff_id in layers:
            with contextlib.suppress(FileNotFoundError):
                found[diff_id] = self.path(diff_id).stat().st_size
        return {diff_id: size for diff_id, size in found.items() if size}

    def path(self, diff_id: str) -> Path:
        assert is_id(diff_id)  # noqa: S101 - it becomes a file's name
        return self.folder / diff_id.removeprefix("sha256:")

    def read(self, diff_id: str) -> Iterator[bytes]:
        with self.path(diff_id).open("rb") as file:
            while chunk := file.read(READ_BYTES):
                yield chunk

    def forget_others(self, layers: Collection[str]) -> None:
        """Keep of these layers only what is kept: what comes next is an image made of them."""
        names = {self.path(diff_id).name for diff_id in layers}
        with contextlib.suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                if path.name not in names:
                    path.unlink(missing_ok=True)

    def forget(self, diff_id: str) -> None:
        self.path(diff_id).unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget all of them."""
        shutil.rmtree(self.folder, ignore_errors=True)


def forget_old(settings: Settings) -> None:
    """Forget what nobody has gone on with for KEPT_SECONDS, of every app."""
    with contextlib.suppress(FileNotFoundError):
        for folder in settings.uploads_dir.iterdir():
            newest = max((path.stat().st_mtime for path in folder.iterdir()), default=0.0)
            if newest < time.time() - KEPT_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
