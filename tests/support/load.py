"""Requests of every kind against one app until standard input ends; then what became of them, as JSON.

    python load.py '{"port": 8080, "host": "app.localhost", "clients": {"get": 4, "websocket": 1}}'

The app is that of tests/images/traffic. Every answer must be the app's own (`who`). A request *failed* when it was
answered wrongly or not in time, it was *reset* when its connection ended before the answer did. Nothing is tried again.
The first misses are told on standard error when they happen.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

BODY = os.urandom(5000)
PIECE = os.urandom(1024 * 1024)
KINDS = {  # what one client does again and again, and the seconds between two times
    "get": 0.02, "post": 0.02, "new": 0.05, "slow": 0.0, "upload": 0.0, "websocket": 0.1, "events": 0.1,
}  # fmt: skip
WAIT_SECONDS = 60
TOLD = 20
TEXT, CLOSE = 1, 8


class Wrong(Exception):
    """An answer that is not the right one."""


class Cut(Exception):
    """The connection ended where an answer was due."""


@dataclass
class Tally:
    """What became of one kind of requests."""

    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    reset: list[str] = field(default_factory=list)
    ended: int = 0  # streams that the other side closed, properly

    def json(self) -> dict[str, object]:
        """Counts, and milliseconds."""
        ordered = sorted(self.seconds) or [0.0]
        at = {share: ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 99)}
        return {
            "requests": len(self.seconds) + len(self.failed) + len(self.reset),
            "failed": self.failed,
            "reset": self.reset,
            "ended": self.ended,
            **{f"p{share}_ms": round(value * 1000, 1) for share, value in at.items()},
            "longest_ms": round(ordered[-1] * 1000, 1),
        }


@dataclass
class Load:
    """Everything that the clients share. `who`: None takes any answer."""

    port: int
    host: str
    clients: dict[str, int]
    who: str | None = None
    tls_port: int = 0
    slow_seconds: float = 10
    upload_mb: int = 50
    upload_seconds: float = 4
    pause: float = 1.0  # times the seconds between two requests
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    tallies: dict[str, Tally] = field(default_factory=dict)

    async def run(self) -> dict[str, object]:
        """Until `stop` is set and every request has its answer."""
        from support import load_h2  # it needs a package; the other kinds do not

        every = {
            "get": get, "post": post, "new": new, "slow": slow, "upload": upload,
            "websocket": websocket, "events": events, "h2": load_h2.client,
        }  # fmt: skip
        self.tallies = {kind: Tally() for kind in self.clients}
        tasks = [every[kind](self) for kind, count in self.clients.items() for _ in range(count)]
        await asyncio.gather(*tasks)
        return {kind: tally.json() for kind, tally in self.tallies.items()}

    async def one(self, kind: str, request: Callable[[], Awaitable[None]]) -> bool:
        """Do a request and note what became of it. False when its connection is not to be used again."""
        tally, started = self.tallies[kind], time.monotonic()
        try:
            await asyncio.wait_for(request(), WAIT_SECONDS)
        except (Wrong, ValueError, TimeoutError) as error:
            self.note(tally.failed, kind, started, error)
        except (OSError, EOFError, Cut) as error:
            self.note(tally.reset, kind, started, error)
        else:
            tally.seconds.append(time.monotonic() - started)
            return True
        return False

    def note(self, misses: list[str], kind: str, started: float, error: BaseException) -> None:
        """Remember a miss, and tell it."""
        text = f"{time.time():.3f} {kind} after {time.monotonic() - started:.3f} s: {error!r}"
        misses.append(text)
        if sum(len(tally.failed) + len(tally.reset) for tally in self.tallies.values()) <= TOLD:
            print(text, file=sys.stderr, flush=True)

    async def rest(self, kind: str) -> None:
        """The time between two requests, less when all is to end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), KINDS[kind] * self.pause or 0.001)

    def check(self, who: str | None, expected: str, body: bytes) -> None:
        """Raises Wrong for what another app or nobody of ours said."""
        if self.who is not None and who != self.who:
            raise Wrong(f"{who} answered instead of {self.who}")
        if not body.decode(errors="replace").endswith(f" {expected}\n"):
            raise Wrong(f"not what was asked for: {body[:200]!r}")


class Connection:
    """One HTTP/1.1 connection."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.is_open = False

    def close(self) -> None:
        if self.is_open:
            self.writer.close()

    async def head(self, method: str, path: str, **headers: str) -> None:
        """The head of a request, the first one over a new connection."""
        if not self.is_open:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.load.port)
            self.is_open = True
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.load.host}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        await self.writer.drain()

    async def answer(self, wanted: int = 200) -> dict[str, str]:
        """The head of an answer. Raises Cut, Wrong."""
        line = await self.reader.readline()
        if not line:
            raise Cut("closed without an answer")
        headers: dict[str, str] = {}
        while (more := await self.reader.readline()).strip():
            name, _, value = more.decode().partition(":")
            headers[name.lower()] = value.strip()
        if not more:
            raise Cut("closed within an answer's head")
        if line.split()[1] != b"%d" % wanted:
            raise Wrong(line.decode().strip())
        return headers

    async def ask(self, method: str, path: str, body: bytes = b"", close: bool = False) -> None:
        """A request with its answer."""
        more = {"Connection": "close"} if close else {}
        await self.head(method, path, **(more | ({"Content_Length": str(len(body))} if body else {})))
        self.writer.write(body)
        await self.writer.drain()
        await self.finish(f"{method} {len(body)} {hashlib.sha256(body).hexdigest()}")

    async def finish(self, expected: str) -> None:
        headers = await self.answer()
        body = await self.reader.readexactly(int(headers["content-length"]))
        self.load.check(headers.get("x-who"), expected, body)


async def kept(load: Load, kind: str, request: Callable[[Connection], Awaitable[None]]) -> None:
    """Requests over one connection, and another one only after a miss."""
    connection: Connection | None = None
    while not load.stop.is_set():
        current = connection = connection or Connection(load)
        if not await load.one(kind, lambda current=current: request(current)):  # type: ignore[misc]
            connection.close()
            connection = None
        await load.rest(kind)
    if connection:
        connection.close()


async def get(load: Load) -> None:
    await kept(load, "get", lambda connection: connection.ask("GET", "/"))


async def post(load: Load) -> None:
    await kept(load, "post", lambda connection: connection.ask("POST", "/", BODY))


async def slow(load: Load) -> None:
    await kept(load, "slow", lambda connection: connection.ask("GET", f"/slow?{load.slow_seconds}"))


async def new(load: Load) -> None:
    async def request() -> None:
        connection = Connection(load)
        with contextlib.closing(connection):
            await connection.ask("GET", "/", close=True)

    while not load.stop.is_set():
        await load.one("new", request)
        await load.rest("new")


async def upload(load: Load) -> None:
    digest = hashlib.sha256()
    for _ in range(load.upload_mb):
        digest.update(PIECE)
    length = load.upload_mb * len(PIECE)

    async def request(connection: Connection) -> None:
        await connection.head("POST", "/", Content_Length=str(length))
        for _ in range(load.upload_mb):
            connection.writer.write(PIECE)
            await connection.writer.drain()
            await asyncio.sleep(load.upload_seconds / load.upload_mb)
        await connection.finish(f"POST {length} {digest.hexdigest()}")

    await kept(load, "upload", request)


class EventStream:
    """One stream of events, numbered from 0. `ended`: the app itself has ended it."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.connection = Connection(load)
        self.rest, self.number, self.ended = b"", 0, False

    async def open(self) -> None:
        await self.connection.head("GET", "/events")
        if self.load.who not in (None, (await self.connection.answer()).get("x-who")):
            raise Wrong("another app")

    async def follow(self) -> None:
        """One chunk; how the events are put into chunks is the router's to choose."""
        size = await self.connection.reader.readline()
        if not size.endswith(b"\n"):
            raise Cut("an event stream was cut")
        self.rest += (await self.connection.reader.readexactly(int(size, 16) + 2))[:-2]
        self.ended = int(size, 16) == 0
        *events, self.rest = self.rest.split(b"\n\n")
        for event in events:
            if event != b"data: %d" % self.number:
                raise Wrong(f"{event!r} instead of event {self.number}")
            self.number += 1
        if self.ended and self.rest:
            raise Cut("an event stream ended within an event")


async def events(load: Load) -> None:
    """Streams of events, one after the other: each must go on until the app itself ends it."""
    while not load.stop.is_set():
        stream = EventStream(load)
        go_on = await load.one("events", stream.open)
        while go_on and not stream.ended and not load.stop.is_set():
            go_on = await load.one("events", stream.follow)
        load.tallies["events"].ended += stream.ended
        stream.connection.close()
        if not go_on:
            await load.rest("events")


class Websocket:
    """One websocket. `ended`: the app said goodbye and closed it, and not before."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.connection = Connection(load)
        self.number, self.ended = 0, False

    async def open(self) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
        await self.connection.head("GET", "/ws", **upgrade, Sec_WebSocket_Key=key)
        if self.load.who not in (None, (await self.connection.answer(101)).get("x-who")):
            raise Wrong("another app")

    async def echo(self) -> None:
        text = b"%d" % self.number
        reader, writer = self.connection.reader, self.connection.writer
        writer.write(masked(TEXT, text))
        await writer.drain()
        kind, data = await frame(reader)
        if kind == CLOSE:
            writer.write(masked(CLOSE, data))
            self.ended = await reader.read() == b""
        elif data != text:
            raise Wrong(f"{data!r} instead of {text!r}")
        self.number += 1


async def websocket(load: Load) -> None:
    """Websockets, one after the other: each echoes until the app says goodbye and closes."""
    while not load.stop.is_set():
        stream = Websocket(load)
        go_on = await load.one("websocket", stream.open)
        while go_on and not stream.ended and not load.stop.is_set():
            go_on = await load.one("websocket", stream.echo)
            await load.rest("websocket")
        load.tallies["websocket"].ended += stream.ended
        stream.connection.close()


def masked(kind: int, data: bytes) -> bytes:
    """A client's frame; a mask of zeros is one too."""
    return bytes([0x80 | kind, 0x80 | len(data)]) + bytes(4) + data


async def frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, length = struct.unpack("BB", await reader.readexactly(2))
    return first & 0xF, await reader.readexactly(length)


async def main(options: dict[str, Any]) -> None:
    load = Load(**options)
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, lambda: os.read(0, 1) or load.stop.set())
    print(json.dumps(await load.run()))


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
    import support.load

    asyncio.run(support.load.main(json.loads(sys.argv[1])))
