"""git:layers and git:load-image --layers: a client sends only the layers that the host does not have.

Whatever is told or taken for granted comes from the images of the app itself: of the others' a key learns nothing, not even
by guessing, because a layer that neither came nor is the app's is missing, whatever the engine has.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Iterator
from io import FileIO
from typing import BinaryIO

from paas.deploy.session import Session
from paas.deploy.sources.space import disk_of
from paas.engine import tar
from paas.engine.images import Image, LoadFailed
from paas.errors import PaasError
from paas.model.image import ImageRef
from paas.model.layers import (
    CONFIG,
    DATA,
    END,
    IMAGE,
    LAYER,
    MAX_LAYERS,
    SEND_ALL,
    Answer,
    EndsEarly,
    LayerHead,
    Malformed,
    Question,
    frames,
    held_layers,
    is_id,
    needed,
)
from paas.store.apps import App
from paas.store.properties import GLOBAL
from paas.store.uploads import Uploads

# The newest releases' images that are asked for their layers.
MOST_IMAGES = 20
MAX_QUESTION_BYTES = 256 * 1024


class NoQuestion(PaasError):
    """git:layers reads from standard input which image is about to be sent; paas -H does that. Nothing was changed"""


class LayersMissing(PaasError):
    """The image can't be put together: {reason}. Nothing was changed. Send all of it"""

    exit_code = SEND_ALL


def read_question(stream: BinaryIO) -> Question:
    """Raises NoQuestion."""
    try:
        return Question.parse(stream.read(MAX_QUESTION_BYTES))
    except Malformed:
        raise NoQuestion() from None


def answer(session: Session, app: App, ref: ImageRef, question: Question) -> Answer:
    """What of an image need not be sent to the app."""
    whole = session.images.needs_every_layer
    known = known_images(session, app, ref, question.image)
    held = 0 if whole else held_of(question.layers, known)
    missing = needed(question.layers, held)
    uploads = Uploads(session.settings, app.id)
    uploads.forget_others(missing)
    return Answer(any(item.id == question.image for item in known), held, whole, uploads.sizes(missing))


def known_images(session: Session, app: App, ref: ImageRef, wanted: str = "") -> list[Image]:
    """The images whose layers may be taken for granted: those of the app's releases, and for who reaches all apps also
    those of the same repository, and the `wanted` one (an id)."""
    ids = [release.image_id for release in session.releases.all(app)]
    if session.reach.everything:
        ids = [*([wanted] if wanted else []), *ids, *(session.images.of_repository(ref.repository) if ref.repository else [])]
    found = (session.images.find(image_id) for image_id in list(dict.fromkeys(ids))[:MOST_IMAGES])
    return [image for image in found if image is not None]


def held_of(layers: tuple[str, ...], known: list[Image]) -> int:
    """How many of the first of `layers` one of these images has."""
    return max((held_layers(layers, image.layers) for image in known), default=0)


def load(session: Session, app: App, ref: ImageRef, stream: BinaryIO, name: str) -> None:
    """Put the image of a client's stream together and load it under `name`. Raises LayersMissing, LoadFailed."""
    archive = LayerArchive(session, app, ref, stream, name)
    with archive.reading():
        image_id = archive.image_id()
    if image_id is not None:
        if all(item.id != image_id for item in known_images(session, app, ref, image_id)):
            raise LayersMissing(reason="the host does not have the image any more")
        session.images.tag(image_id, name)
        return
    try:
        session.images.load(archive.chunks(), session.console)
    except LoadFailed as error:
        if not archive.leaves_out:
            raise
        # What the app's images had a moment ago somebody has removed since.
        raise LayersMissing(reason=error.fields["reason"]) from None
    finally:
        archive.close()
    archive.uploads.clear()


class LayerArchive:
    """A client's stream as the archive that the engine loads: each layer is looked at, and kept, as it passes.

    `leaves_out`: the engine was given all of it, but for layers that it should have.
    """

    def __init__(self, session: Session, app: App, ref: ImageRef, stream: BinaryIO, name: str) -> None:
        self.session, self.app, self.ref, self.name = session, app, ref, name
        self.uploads = Uploads(session.settings, app.id)
        self.leaves_out = False
        self._parts = frames(stream.read)
        self._next: tuple[bytes, bytes] | None = None
        self._came: set[str] = set()
        self._file: FileIO | None = None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """What is wrong with the stream, as what the client is told."""
        try:
            yield
        except EndsEarly:
            raise LoadFailed(reason="it ends early") from None
        except Malformed as error:
            raise LayersMissing(reason=str(error)) from None

    def image_id(self) -> str | None:
        """The id of an image that is here, where the client names one instead of sending it."""
        kind, payload = self._next = next(self._parts)
        return payload.decode("ascii", "replace") if kind == IMAGE else None

    def chunks(self) -> Iterator[bytes]:
        """The archive. Raises LayersMissing and LoadFailed; layers that came whole or in part are kept then."""
        with self.reading():
            yield from self._chunks()

    def _chunks(self) -> Iterator[bytes]:
        config = None
        for kind, payload in itertools.chain([self._next or next(self._parts)], self._parts):
            if kind == LAYER:
                yield from self._layer(LayerHead.parse(payload))
            elif kind == CONFIG:
                config = payload
            elif kind != END:
                raise Malformed("a frame is out of place")
        if config is None:
            raise Malformed("there is no image in it")
        yield from self._ending(config)
        yield tar.END

    def _layer(self, head: LayerHead) -> Iterator[bytes]:
        digest = hashlib.sha256()
        yield tar.header(f"{head.hex}.tar", head.size)
        if head.offset:
            if self.uploads.sizes([head.id]).get(head.id) != head.offset:
                raise LayersMissing(reason="what was kept of a layer is not kept any more")
            for chunk in self.uploads.read(head.id):
                digest.update(chunk)
                yield chunk
        self._keep(head)
        missing = head.size - head.offset
        while missing:
            kind, chunk = next(self._parts)
            missing -= len(chunk)
            if kind != DATA or missing < 0:
                raise Malformed("a layer is longer or shorter than was said")
            digest.update(chunk)
            self._write(chunk)
            yield chunk
        self.close()
        if digest.hexdigest() != head.hex:
            self.uploads.forget(head.id)
            raise LayersMissing(reason="a layer came damaged")
        self._came.add(head.id)
        yield tar.padding(head.size)

    def _keep(self, head: LayerHead) -> None:
        """Open the file that takes what comes of a layer, unless the disk has little room."""
        limit = self.session.properties.get(GLOBAL, "disk", "min-free")
        disk = disk_of(self.session.settings.root, "paas", limit)
        if disk.free - (head.size - head.offset) < disk.least:
            return
        with contextlib.suppress(OSError):
            self.uploads.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Not buffered: what came is there when the connection breaks.
            self._file = FileIO(self.uploads.path(head.id), "a" if head.offset else "w")

    def _write(self, chunk: bytes) -> None:
        try:
            view = memoryview(chunk)
            while view and self._file is not None:
                view = view[self._file.write(view) :]
        except OSError:
            # Keeping is a courtesy: the layer is on its way into the engine all the same.
            self.close()

    def _ending(self, config: bytes) -> Iterator[bytes]:
        """Configuration and list of layers. Raises LayersMissing where one is neither here nor the app's."""
        layers = _layers_of(config)
        absent = [position for position, diff_id in enumerate(layers) if diff_id not in self._came]
        if absent and absent[-1] >= held_of(layers, known_images(self.session, self.app, self.ref)):
            raise LayersMissing(reason="the host does not have all of the layers that were left out")
        self.leaves_out = bool(absent)
        name = f"{hashlib.sha256(config).hexdigest()}.json"
        paths = [f"{diff_id.removeprefix('sha256:')}.tar" for diff_id in layers]
        manifest = json.dumps([{"Config": name, "RepoTags": [self.name], "Layers": paths}]).encode()
        yield tar.file(name, config)
        yield tar.file("manifest.json", manifest)


def _layers_of(config: bytes) -> tuple[str, ...]:
    try:
        layers = json.loads(config)["rootfs"]["diff_ids"]
    except (ValueError, KeyError, TypeError):
        raise Malformed("the image's configuration can't be read") from None
    if not isinstance(layers, list) or len(layers) > MAX_LAYERS or not all(map(is_id, layers)):
        raise Malformed("the image's configuration can't be read")
    return tuple(layers)
