"""The session of one build: a second connection to the engine, on which the builder is the one that asks."""

from __future__ import annotations

import base64
import contextlib
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from paas.engine.buildkit import files, wire
from paas.engine.buildkit.rpc import NOT_FOUND, Answered, CallFailed, Method, Server
from paas.engine.context import Context
from paas.model.image import HUB_AUTH

LOGINS = "/moby.filesync.v1.Auth/Credentials"
SECRETS = "/moby.buildkit.secrets.v1.Secrets/GetSecret"
HEALTH = "/grpc.health.v1.Health/Check"
_SERVING = wire.number(1, 1)
HUB_HOST = "registry-1.docker.io"
CONNECT_SECONDS = 10
MAX_HEAD_BYTES = 1 << 16


class NoSession(Exception):
    """The engine takes no session: it has no BuildKit."""


@dataclass(frozen=True)
class Offer:
    """What a builder may ask for: the files of `context`; `auths` as in a Docker configuration; the secret of an id
    (None: there is none). `shared_key`: builds with the same one send only what is new."""

    context: Context
    shared_key: str
    auths: Mapping[str, Mapping[str, str]]
    secret: Callable[[str], bytes | None]


@contextlib.contextmanager
def session(address: str, api_version: str, offer: Offer) -> Iterator[str]:
    """A session that lasts as long as the block, which gets its id. Raises NoSession, OSError."""
    number = secrets.token_hex(12)
    methods: dict[str, Method] = {
        files.PATH: lambda headers: files.SendFiles(offer.context, headers),
        LOGINS: lambda headers: Answered(lambda message: _login(offer, message)),
        SECRETS: lambda headers: Answered(lambda message: _secret(offer, message)),
        HEALTH: lambda headers: Answered(lambda message: _SERVING),
    }
    with contextlib.closing(_connect(address)) as connection:
        first = _upgrade(connection, api_version, number, offer.shared_key, list(methods))
        server = Server(connection, methods, first)
        thread = threading.Thread(target=server.run, name="build session", daemon=True)
        thread.start()
        try:
            yield number
        finally:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()
            # Of the build that failed then this is the reason.
            if server.broken is not None:
                raise server.broken


def _connect(address: str) -> socket.socket:
    parts = urlsplit(address)
    if parts.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(CONNECT_SECONDS)
            connection.connect(parts.path)
        except BaseException:
            connection.close()
            raise
        return connection
    if parts.scheme == "tcp" and parts.hostname and parts.port:
        return socket.create_connection((parts.hostname, parts.port), CONNECT_SECONDS)
    raise NoSession(address)


def _upgrade(connection: socket.socket, version: str, number: str, shared_key: str, methods: list[str]) -> bytes:
    """Turn a connection to the engine into a session; what was read beyond the engine's answer."""
    lines = [
        f"POST /v{version}/session HTTP/1.1",
        "Host: docker",
        "Connection: Upgrade",
        "Upgrade: h2c",
        "Content-Length: 0",
        f"X-Docker-Expose-Session-Uuid: {number}",
        "X-Docker-Expose-Session-Name: paas",
        f"X-Docker-Expose-Session-Sharedkey: {shared_key}",
        *(f"X-Docker-Expose-Session-Grpc-Method: {name}" for name in methods),
    ]
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    read = b""
    while b"\r\n\r\n" not in read:
        piece = connection.recv(4096)
        if not piece or len(read) > MAX_HEAD_BYTES:
            raise NoSession("no answer")
        read += piece
    head, _, rest = read.partition(b"\r\n\r\n")
    if head.split(b" ", 2)[1:2] != [b"101"]:
        raise NoSession(head.partition(b"\r\n")[0].decode("utf-8", "replace"))
    connection.settimeout(None)
    return rest


def _login(offer: Offer, message: bytes) -> bytes:
    """The user and password of a registry, empty where there is none."""
    host = wire.texts(message).get(1, "")
    auth = offer.auths.get(HUB_AUTH if host == HUB_HOST else host, {}).get("auth", "")
    user, _, password = base64.b64decode(auth).partition(b":")
    return wire.data(1, user) + wire.data(2, password)


def _secret(offer: Offer, message: bytes) -> bytes:
    found = offer.secret(wire.texts(message).get(1, ""))
    if found is None:
        raise CallFailed(NOT_FOUND)
    return wire.data(1, found)
