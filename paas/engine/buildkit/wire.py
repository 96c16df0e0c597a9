"""The encoding of BuildKit's messages (protocol buffers), as much of it as they use: numbers and bytes by field number."""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}


class Malformed(ValueError):
    """Bytes that are no message."""


def number(field: int, value: int) -> bytes:
    """A number; 0 is what a field says that is not there."""
    return _varint(field << 3 | _VARINT) + _varint(value) if value else b""


def data(field: int, value: bytes) -> bytes:
    return message(field, value) if value else b""


def message(field: int, value: bytes) -> bytes:
    """As `data`, also where it is empty."""
    return _varint(field << 3 | _BYTES) + _varint(len(value)) + value


def fields(text: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message in turn. Raises Malformed."""
    at = 0
    while at < len(text):
        key, at = _read_varint(text, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _read_varint(text, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = _read_varint(text, at)
        elif kind in _WIDTHS:
            length = _WIDTHS[kind]
        else:
            raise Malformed(f"field type {kind}")
        if at + length > len(text):
            raise Malformed("it ends early")
        yield key >> 3, text[at : at + length]
        at += length


def texts(text: bytes) -> dict[int, str]:
    """The fields that hold text, the last one of each number."""
    return {name: value.decode("utf-8", "replace") for name, value in fields(text) if isinstance(value, bytes)}


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _read_varint(text: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(text) and shift < 64:
        byte = text[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise Malformed("a number has no end")
