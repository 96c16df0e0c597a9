"""Images and volumes as streams of an archive, out of the engine and into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from paas.engine.client import engine_errors, patience
from paas.engine.folders import INSIDE, Folders

if TYPE_CHECKING:
    from docker import APIClient

READ_BYTES = 1024 * 1024


def save_images(client: APIClient, names: Iterable[str]) -> Iterator[bytes]:
    """What ``docker image save NAME …`` writes: layers that several share are in it once."""
    library: Any = client
    with engine_errors(), patience(client):
        answer = library._get(library._url("/images/get"), params={"names": list(names)}, stream=True)
        library._raise_for_status(answer)
        try:
            yield from answer.iter_content(READ_BYTES)
        finally:
            answer.close()


class Volumes:
    """Folders of the engine's host and Docker's volumes, with owners and modes: read and written by the engine, which
    is root, in a container that never runs."""

    def __init__(self, client: APIClient, image: str, labels: dict[str, str]) -> None:
        self.client = client
        self.image = image
        self.labels = labels

    def read(self, place: str) -> Iterator[bytes]:
        """An archive of all that is in a folder (an absolute path) or in a volume (its name)."""
        with engine_errors(), patience(self.client):
            container = self._container(place)
            try:
                chunks, _ = self.client.get_archive(container, INSIDE, READ_BYTES)
                yield from chunks
            finally:
                self.client.remove_container(container, force=True)

    def write(self, place: str, archive: BinaryIO) -> None:
        """Unpack what `read` gave."""
        data: Any = archive
        with engine_errors(), patience(self.client):
            container = self._container(place)
            try:
                self.client.put_archive(container, "/", data)
            finally:
                self.client.remove_container(container, force=True)

    def exists(self, place: str) -> bool:
        """Whether there is a volume of this name, or something in the folder as far as we may look."""
        from docker.errors import NotFound

        if place.startswith("/"):
            path = Path(place)
            try:
                return any(path.iterdir()) if path.is_dir() else path.exists()
            except PermissionError:
                return True
        with engine_errors():
            try:
                self.client.inspect_volume(place)
            except NotFound:
                return False
            return True

    def remove(self, place: str) -> None:
        """Undo a `write` to a place where nothing was: a volume goes, a folder that we may empty is emptied."""
        import shutil

        from docker.errors import NotFound

        if place.startswith("/"):
            shutil.rmtree(place, ignore_errors=True)
            return
        with engine_errors():
            try:
                self.client.remove_volume(place, force=True)
            except NotFound:
                return

    def _container(self, place: str) -> str:
        return Folders(self.client, Path(place), self.image, self.labels).container()
