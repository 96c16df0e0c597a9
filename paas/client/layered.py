"""Single layers out of this machine's engine, read where its overlay2 driver keeps them.

`docker image save` writes out all layers before the first byte comes: for a changed line in an image of 2 GB that is all
the time there is. So a container that never runs gets the engine's folder to read, `docker cp` takes the files of one
layer out of it, and the layer's archive is put together again with the headers that the engine keeps for just that. The
digest of what comes out is the layer's name, and the host looks at it.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import os
import posixpath
import tarfile
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from paas.client import docker
from paas.client.docker import LocalImage
from paas.client.failure import NoEngine, NoLayers
from paas.model.layers import DATA_BYTES

INSIDE = "/paas-engine"
LABEL = "paas.client=layers"
DRIVER = "overlay2"
MAX_SMALL_BYTES = 256 * 1024 * 1024


class Layered:
    """The layers of an image, each by itself, between `open` and `close`. Raises NoLayers."""

    def __init__(self, image: LocalImage) -> None:
        self.image = image
        self._container = ""
        self._chains = dict(zip(image.layers, _chain_ids(image.layers), strict=True))

    def open(self) -> None:
        """Raises NoLayers where the engine keeps them another way, or lets nobody look."""
        try:
            driver, _, root = docker.run("info", "--format", "{{.Driver}} {{.DockerRootDir}}").decode().strip().partition(" ")
            if driver != DRIVER or not root.startswith("/"):
                raise NoLayers()
            volume = f"type=bind,source={root},target={INSIDE},readonly"
            created = docker.run(
                "container", "create", "--network", "none", "--label", LABEL, "--mount", volume, self.image.id, "-"
            )
        except NoEngine:
            raise NoLayers() from None
        self._container = created.decode().strip()

    def close(self) -> None:
        """Let go of the container. May be done twice."""
        container, self._container = self._container, ""
        if container:
            with contextlib.suppress(NoEngine):
                docker.run("container", "rm", "--force", "--volumes", container)

    def config(self) -> bytes:
        """The image's configuration, byte by byte."""
        name = self.image.id.removeprefix("sha256:")
        found = self._small(f"image/{DRIVER}/imagedb/content/sha256/{name}").get(name, b"")
        if hashlib.sha256(found).hexdigest() != name:
            raise NoLayers()
        return found

    def layer(self, diff_id: str) -> Layer:
        """One layer, ready to be read."""
        chain = self._chains[diff_id].removeprefix("sha256:")
        files = self._small(f"image/{DRIVER}/layerdb/sha256/{chain}")
        place = files.get(f"{chain}/cache-id", b"").decode("ascii", "replace").strip()
        headers = files.get(f"{chain}/tar-split.json.gz")
        if headers is None or not place.isalnum():
            raise NoLayers()
        return Layer(f"{self._container}:{INSIDE}/{DRIVER}/{place}/diff", headers)

    def _small(self, path: str) -> dict[str, bytes]:
        """The files in a folder of the engine's, or one file, by name."""
        try:
            data = docker.run("cp", f"{self._container}:{INSIDE}/{path}", "-")
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                return {item.name: _content(archive, item) for item in archive if item.isreg()}
        except (NoEngine, tarfile.TarError):
            raise NoLayers() from None


class Layer:
    """A layer's archive: `place` is where docker cp finds its files, `headers` what is between their contents."""

    def __init__(self, place: str, headers: bytes) -> None:
        self._place = place
        self._headers = headers
        self.size = sum(_length(entry) for entry in self._entries())

    def chunks(self) -> Iterator[bytes]:
        """The archive. Raises NoLayers where the files are not those of the headers."""
        files: Files | None = None
        try:
            for entry in self._entries():
                if entry["type"] == 2:
                    yield base64.b64decode(entry.get("payload") or "")
                elif _length(entry):
                    # Many layers consist of headers only.
                    files = files or Files(self._place)
                    yield from files.read(_name(entry), _length(entry))
        finally:
            if files is not None:
                files.close()

    def _entries(self) -> Iterator[dict[str, Any]]:
        try:
            with gzip.open(io.BytesIO(self._headers)) as lines:
                for line in lines:
                    yield json.loads(line)
        except (OSError, EOFError, ValueError):
            raise NoLayers() from None


class Files:
    """The files of a folder in the order in which somebody wants them: what docker cp gives before its turn waits on disk."""

    def __init__(self, place: str) -> None:
        self._reading = docker.reading("cp", place, "-")
        self._archive = tarfile.open(
            fileobj=self._reading.__enter__(), mode="r|", bufsize=DATA_BYTES, errors="surrogateescape"
        )
        self._early: dict[str, tuple[int, int]] = {}
        self._spool: IO[bytes] | None = None

    def close(self) -> None:
        self._reading.__exit__(None, None, None)
        if self._spool is not None:
            self._spool.close()

    def read(self, name: str, size: int) -> Iterator[bytes]:
        """A file's content. Raises NoLayers where there is none of that name and size."""
        if name in self._early:
            yield from self._waited(name, size)
            return
        try:
            while (item := self._archive.next()) is not None:
                found = posixpath.normpath(item.name.partition("/")[2])
                self._archive.members = []  # type: ignore[attr-defined]
                if item.islnk():
                    target = posixpath.normpath(item.linkname.partition("/")[2])
                    if target in self._early:
                        self._early[found] = self._early[target]
                elif item.isreg() and found == name and item.size == size:
                    yield from _chunks(self._archive, item)
                    return
                elif item.isreg():
                    self._wait(found, item)
                if found == name:
                    break
        except (tarfile.TarError, OSError):
            raise NoLayers() from None
        if name not in self._early:
            raise NoLayers()
        yield from self._waited(name, size)

    def _wait(self, name: str, item: tarfile.TarInfo) -> None:
        if self._spool is None:
            self._spool = tempfile.TemporaryFile(prefix="paas-layer-")
        start = self._spool.seek(0, os.SEEK_END)
        for chunk in _chunks(self._archive, item):
            self._spool.write(chunk)
        self._early[name] = (start, item.size)

    def _waited(self, name: str, size: int) -> Iterator[bytes]:
        start, length = self._early[name]
        if length != size or self._spool is None:
            raise NoLayers()
        self._spool.seek(start)
        while size:
            chunk = self._spool.read(min(size, DATA_BYTES))
            size -= len(chunk)
            yield chunk


def _chain_ids(layers: tuple[str, ...]) -> list[str]:
    """The name of each layer on top of those below it."""
    chains: list[str] = []
    for diff_id in layers:
        above = f"{chains[-1]} {diff_id}".encode() if chains else b""
        chains.append(f"sha256:{hashlib.sha256(above).hexdigest()}" if above else diff_id)
    return chains


def _length(entry: dict[str, Any]) -> int:
    if entry.get("type") == 2:
        text = entry.get("payload") or ""
        return len(text) // 4 * 3 - text[-2:].count("=")
    return int(entry.get("size") or 0)


def _name(entry: dict[str, Any]) -> str:
    raw = entry.get("name_raw")
    name = base64.b64decode(raw).decode("utf-8", "surrogateescape") if raw else str(entry.get("name"))
    return posixpath.normpath(name.lstrip("/"))


def _chunks(archive: tarfile.TarFile, item: tarfile.TarInfo) -> Iterator[bytes]:
    file = archive.extractfile(item)
    while file is not None and (chunk := file.read(DATA_BYTES)):
        yield chunk


def _content(archive: tarfile.TarFile, item: tarfile.TarInfo) -> bytes:
    if item.size > MAX_SMALL_BYTES:
        raise NoLayers()
    file = archive.extractfile(item)
    return file.read() if file else b""
