"""The layers of an image, and how some of them travel: what `paas -H` and `git:load-image --layers` agree on.

A layer is known by its diff id, ``sha256:`` and the digest of its tar archive. An engine holds it only on top of the
layers that it was made on, so what can be left out is always the beginning of the list.

The stream is MAGIC, then frames: a letter, the length of what follows in 4 bytes, and that many bytes.

    L  {"id": diff id, "offset": bytes that the host has kept, "size": bytes of the whole layer}
    D  the layer's next bytes;  Z  the same, compressed by zlib
    C  the image's configuration, as its id is the digest of
    I  the id of an image that the host has, instead of layers and configuration
    E  the end
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

MAGIC = b"paas layers 1\n"
LAYER, DATA, PACKED, CONFIG, IMAGE, END = b"L", b"D", b"Z", b"C", b"I", b"E"
HEADER_BYTES = 5
DATA_BYTES = 1024 * 1024
MAX_FRAME_BYTES = 8 * 1024 * 1024
MAX_LAYERS = 512
# `git:load-image --layers` ends with it where another send, of the whole image, would do better.
SEND_ALL = 75

_ID = re.compile(r"sha256:[0-9a-f]{64}")


class Malformed(ValueError):
    """What came is not what the other side sends."""


class EndsEarly(Malformed):
    """The stream ends within a frame, or before its end was said."""


def is_id(text: object) -> bool:
    """Whether it is ``sha256:`` and 64 hex digits."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


@dataclass(frozen=True)
class Question:
    """An image that a client is about to send: its id, and its layers' diff ids from the lowest."""

    image: str
    layers: tuple[str, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str | bytes) -> Question:
        """Raises Malformed."""
        found = _object(text)
        layers = found.get("layers")
        if not is_id(found.get("image")) or not isinstance(layers, list) or len(layers) > MAX_LAYERS:
            raise Malformed("no image")
        if not all(map(is_id, layers)):
            raise Malformed("no layers")
        return cls(found["image"], tuple(layers))


@dataclass(frozen=True)
class Answer:
    """What of it the host has: the image itself, the first `held` layers, and of others the first bytes (`kept`).

    `whole`: its image store takes no image without all of its layers.
    """

    image: bool = False
    held: int = 0
    whole: bool = False
    kept: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str | bytes) -> Answer:
        """Raises Malformed."""
        found = _object(text)
        kept = found.get("kept", {})
        held = found.get("held", 0)
        if not isinstance(held, int) or held < 0 or not isinstance(kept, dict):
            raise Malformed("no answer")
        if not all(is_id(key) and isinstance(size, int) and size >= 0 for key, size in kept.items()):
            raise Malformed("no answer")
        return cls(bool(found.get("image")), held, bool(found.get("whole")), kept)


def held_layers(layers: Sequence[str], image: Sequence[str]) -> int:
    """How many of the first of `layers` are the first of an image's."""
    count = 0
    for mine, theirs in zip(layers, image, strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    return kind + len(payload).to_bytes(4, "big") + payload


def layer_frame(diff_id: str, offset: int, size: int) -> bytes:
    return frame(LAYER, json.dumps({"id": diff_id, "offset": offset, "size": size}).encode())


@dataclass(frozen=True)
class LayerHead:
    """The layer whose bytes from `offset` to `size` come next."""

    id: str
    offset: int
    size: int

    @property
    def hex(self) -> str:
        return self.id.removeprefix("sha256:")

    @classmethod
    def parse(cls, payload: bytes) -> LayerHead:
        """Raises Malformed."""
        found = _object(payload)
        offset, size = found.get("offset"), found.get("size")
        if not is_id(found.get("id")) or not isinstance(offset, int) or not isinstance(size, int):
            raise Malformed("no layer")
        if not 0 <= offset <= size:
            raise Malformed("no layer")
        return cls(found["id"], offset, size)


def frames(read: Callable[[int], bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The frames of a stream, kind and payload, packed data unpacked. `read` gives up to that many bytes, none at the end.

    Raises Malformed or EndsEarly.
    """
    if _exactly(read, len(MAGIC)) != MAGIC:
        raise Malformed("it is something else")
    while True:
        header = _exactly(read, HEADER_BYTES)
        kind, size = header[:1], int.from_bytes(header[1:], "big")
        if size > MAX_FRAME_BYTES:
            raise Malformed("a frame is too long")
        payload = _exactly(read, size)
        if kind == PACKED:
            kind, payload = DATA, _unpacked(payload)
        yield kind, payload
        if kind == END:
            return


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    data = read(size)
    if len(data) == size:
        return data
    parts = [data]
    missing = size - len(data)
    while missing:
        data = read(missing)
        if not data:
            raise EndsEarly("it ends early")
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


def _unpacked(payload: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(payload, MAX_FRAME_BYTES)
    except zlib.error:
        raise Malformed("a frame can't be unpacked") from None
    if not unpacker.eof or unpacker.unused_data:
        raise Malformed("a frame can't be unpacked")
    return data


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        raise Malformed("no JSON") from None
    if not isinstance(found, dict):
        raise Malformed("no JSON object")
    return found


def needed(layers: Iterable[str], held: int) -> list[str]:
    """The layers above the first `held`, each once, from the lowest."""
    return list(dict.fromkeys(list(layers)[held:]))
