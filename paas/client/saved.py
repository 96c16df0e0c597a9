"""Layers out of a `docker image save` archive, whatever its form: each file is known by its digest, so that only one at a time
lies on this machine's disk. Compressed layers, as newer engines keep them, are unpacked."""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import IO

from paas.client import docker
from paas.client.docker import LocalImage
from paas.client.failure import NoLayers
from paas.model.layers import DATA_BYTES

MAX_CONFIG_BYTES = 4 * 1024 * 1024
GZIP = b"\x1f\x8b"
GZIP_WINDOW = 31


@dataclass
class SavedLayer:
    """A layer's archive in a file."""

    file: IO[bytes]
    size: int

    def chunks(self) -> Iterator[bytes]:
        self.file.seek(0)
        while chunk := self.file.read(DATA_BYTES):
            yield chunk


class Saved:
    """The archive of an image. `config` is there once all of `layers()` was read. Raises NoEngine, NoLayers."""

    def __init__(self, image: LocalImage) -> None:
        self.image = image
        self._small: dict[str, bytes] = {}

    def layers(self, wanted: Collection[str]) -> Iterator[tuple[str, SavedLayer]]:
        """Those of the `wanted` layers, in the order of the archive. Each can be read until the next one is asked for."""
        missing = set(wanted)
        with docker.reading("image", "save", self.image.name) as stream:
            try:
                with tarfile.open(fileobj=stream, mode="r|", bufsize=DATA_BYTES) as archive:
                    for item in archive:
                        archive.members = []  # type: ignore[attr-defined]
                        file = archive.extractfile(item) if item.isreg() else None
                        if file is None:
                            continue
                        with tempfile.TemporaryFile(prefix="paas-layer-") as spool:
                            name, size = self._spool(item.name, file, spool)
                            if name in missing:
                                missing.remove(name)
                                yield name, SavedLayer(spool, size)
            except (tarfile.TarError, zlib.error):
                raise NoLayers() from None
        if missing:
            raise NoLayers()

    def config(self) -> bytes:
        try:
            found = self._small[json.loads(self._small["manifest.json"])[0]["Config"]]
            layers = json.loads(found)["rootfs"]["diff_ids"]
        except (KeyError, ValueError, IndexError, TypeError):
            raise NoLayers() from None
        if tuple(layers) != self.image.layers:
            raise NoLayers()
        return found

    def _spool(self, name: str, file: IO[bytes], spool: IO[bytes]) -> tuple[str, int]:
        """Copy a file of the archive, unpacked; the id that it has as a layer, and its size."""
        digest, size = hashlib.sha256(), 0
        first = file.read(DATA_BYTES)
        if first[:1] in (b"{", b"[") and len(first) <= MAX_CONFIG_BYTES:
            self._small[name] = first
        unpacker = zlib.decompressobj(GZIP_WINDOW) if first[:2] == GZIP else None
        chunk = first
        while chunk:
            data = unpacker.decompress(chunk) if unpacker else chunk
            digest.update(data)
            size += spool.write(data)
            chunk = file.read(DATA_BYTES)
        return f"sha256:{digest.hexdigest()}", size
