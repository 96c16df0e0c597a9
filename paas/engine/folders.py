"""Folders of the engine's host that belong to other users: made, given away and removed by the engine, which is root.

Archives are unpacked into a container that never runs: nothing is needed of an image, so an empty one serves.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from paas.engine.client import engine_errors

if TYPE_CHECKING:
    from docker import APIClient

INSIDE = "/storage"


class Folders:
    """What is below one folder of the host. `image` is the name that the empty image gets."""

    def __init__(self, client: APIClient, base: Path, image: str, labels: dict[str, str]) -> None:
        self.client = client
        self.base = base
        self.image = image
        self.labels = labels

    def own(self, path: Path, owner: int, mode: int) -> None:
        """Make a folder where there is none, and give it an owner (user and group id) and a mode."""
        entry = tarfile.TarInfo(str(path.relative_to(self.base)))
        entry.type, entry.uid, entry.gid, entry.mode, entry.mtime = (
            tarfile.DIRTYPE,
            owner,
            owner,
            mode,
            int(time.time()),
        )
        self._unpack(entry)

    def remove(self, path: Path) -> None:
        """Remove a folder with all that is in it."""
        # A file in an archive takes the place of a folder of that name; the file is then in our own folder.
        self._unpack(tarfile.TarInfo(str(path.relative_to(self.base))))
        path.unlink()

    def _unpack(self, entry: tarfile.TarInfo) -> None:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            archive.addfile(entry)
        with engine_errors():
            container = self.container()
            try:
                self.client.put_archive(container, INSIDE, data.getvalue())
            finally:
                self.client.remove_container(container, force=True)

    def container(self) -> str:
        """One that is never run, with the folder in it."""
        from docker.errors import ImageNotFound

        host = self.client.create_host_config(binds=[f"{self.base}:{INSIDE}"])
        for _ in range(2):
            with contextlib.suppress(ImageNotFound):
                made = self.client.create_container(
                    self.image, command=["-"], host_config=host, labels=self.labels, network_disabled=True
                )
                return str(made["Id"])
            self._make_image()
        raise ImageNotFound(self.image)

    def _make_image(self) -> None:
        empty = io.BytesIO()
        with tarfile.open(fileobj=empty, mode="w"):
            pass
        repository, _, tag = self.image.partition(":")
        self.client.import_image_from_data(empty.getvalue(), repository=repository, tag=tag)
