"""What travels between a front door and the dispatcher, read side. The write side is in handover.py.

A client sends one request with its descriptors (SCM_RIGHTS), then a byte for each signal that the command
should get. The server answers once: a byte with the exit code, and possibly text for the client's standard error.
"""

from __future__ import annotations

import array
import os
import socket
from dataclasses import dataclass
from typing import cast

from paas.gateway.handover import FORWARDED, MAX_DESCRIPTORS, MAX_REQUEST_BYTES
from paas.model.caller import Door

_LENGTH_BYTES = 4
_CHUNK_BYTES = 1 << 16
_DOORS = ("host", "ssh", "hook")


class BadRequest(Exception):
    """What arrived is no request."""


@dataclass(frozen=True)
class Request:
    """One command as a front door sent it. For door ssh `words` is one string, not yet split."""

    door: Door
    key_id: int | None
    directory: str
    environment: dict[str, str]
    words: list[str]


def decode(body: bytes) -> Request:
    """Read what handover.encode wrote, without its length. Raises BadRequest."""
    try:
        door, key_id, directory, count, *rest = [os.fsdecode(field) for field in _fields(body)]
        if door not in _DOORS or int(count) > len(rest):
            raise ValueError
        pairs = [pair.partition("=") for pair in rest[: int(count)]]
        return Request(
            door=cast(Door, door),
            key_id=int(key_id) if key_id else None,
            directory=directory,
            environment={name: value for name, _, value in pairs},
            words=rest[int(count) :],
        )
    except ValueError:
        raise BadRequest from None


def receive(connection: socket.socket) -> tuple[Request, list[int]]:
    """Read a request and its descriptors (close-on-exec). Raises BadRequest or OSError (a timeout too)."""
    space = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
    data, ancillary, flags, _ = connection.recvmsg(_CHUNK_BYTES, space, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, packed in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(packed[: len(packed) - len(packed) % descriptors.itemsize])
    received = bytearray(data)
    while len(received) < _LENGTH_BYTES:
        received += _more(connection)
    length = int.from_bytes(received[:_LENGTH_BYTES], "big")
    if length > MAX_REQUEST_BYTES or len(descriptors) < 3 or flags & socket.MSG_CTRUNC:
        raise BadRequest
    # Not a byte more: what follows are signals.
    while (missing := _LENGTH_BYTES + length - len(received)) > 0:
        received += _more(connection, missing)
    return decode(bytes(received[_LENGTH_BYTES : _LENGTH_BYTES + length])), list(descriptors)


def signals(message: bytes) -> list[int]:
    """The signals that `message` asks for; anything else in it is ignored."""
    return [number for number in message if number in FORWARDED]


def reply(connection: socket.socket, code: int, text: str = "") -> None:
    """Answer with an exit code; a client that is gone already doesn't matter."""
    try:
        connection.sendall(bytes([code & 0xFF]) + text.encode("utf-8", "replace"))
    except OSError:
        return


def _fields(body: bytes) -> list[bytes]:
    fields = []
    start = 0
    while start < len(body):
        colon = body.index(b":", start)
        end = colon + 1 + int(body[start:colon])
        if end > len(body) or end <= colon:
            raise ValueError
        fields.append(body[colon + 1 : end])
        start = end
    return fields


def _more(connection: socket.socket, limit: int = _CHUNK_BYTES) -> bytes:
    data = connection.recv(min(limit, _CHUNK_BYTES))
    if not data:
        raise BadRequest
    return data
