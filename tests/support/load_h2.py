"""HTTP/2 over TLS: one connection on which several requests are under way at any time."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)

from support import load as plain

STREAMS = 4
PAUSE_SECONDS = 0.05


@dataclass
class Answer:
    """What came of one stream so far."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Connection:
    """An HTTP/2 connection to the app."""

    def __init__(self, load: plain.Load) -> None:
        self.load = load
        self.protocol = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.answers: dict[int, Answer] = {}
        self.window = asyncio.Event()
        self.over: BaseException | None = None

    async def open(self) -> Connection:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.load.tls_port, ssl=context, server_hostname=self.load.host
        )
        if self.writer.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            raise plain.Wrong("no HTTP/2")
        self.protocol.initiate_connection()
        self._send()
        self.reading = asyncio.ensure_future(self._read())
        return self

    def close(self) -> None:
        self.reading.cancel()
        self.writer.close()

    async def ask(self, method: str, body: bytes = b"") -> None:
        """A request with its answer."""
        if self.over:
            raise self.over
        stream = self.protocol.get_next_available_stream_id()
        answer = self.answers[stream] = Answer()
        head = [(":method", method), (":path", "/"), (":scheme", "https"), (":authority", self.load.host)]
        head += [("content-length", str(len(body)))] if body else []
        self.protocol.send_headers(stream, head, end_stream=not body)
        rest = body
        while rest:
            size = min(
                len(rest),
                self.protocol.local_flow_control_window(stream),
                self.protocol.max_outbound_frame_size,
            )
            if not size:
                self._send()
                self.window.clear()
                await self.window.wait()
                continue
            self.protocol.send_data(stream, rest[:size], end_stream=size == len(rest))
            rest = rest[size:]
        self._send()
        try:
            await answer.done
        finally:
            del self.answers[stream]
        if answer.headers.get(":status") != "200":
            raise plain.Wrong(f"status {answer.headers.get(':status')}")
        expected = f"{method} {len(body)} {hashlib.sha256(body).hexdigest()}"
        self.load.check(answer.headers.get("x-who"), expected, bytes(answer.body))

    def _send(self) -> None:
        self.writer.write(self.protocol.data_to_send())

    async def _read(self) -> None:
        try:
            while data := await self.reader.read(65536):
                for event in self.protocol.receive_data(data):
                    self._take(event)
                self._send()
            self.over = plain.Cut("the connection was closed")
        except OSError as error:
            self.over = error
        for answer in self.answers.values():
            if not answer.done.done():
                answer.done.set_exception(self.over)

    def _take(self, event: object) -> None:
        if isinstance(event, ConnectionTerminated):
            self.over = plain.Cut(f"the connection was ended ({event.error_code})")
        self.window.set()
        if isinstance(event, WindowUpdated) or not hasattr(event, "stream_id"):
            return
        answer = self.answers.get(event.stream_id)
        if answer is None:
            return
        if isinstance(event, ResponseReceived):
            answer.headers = dict(event.headers)
        elif isinstance(event, DataReceived):
            answer.body += event.data
            self.protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            answer.done.set_result(None)
        elif isinstance(event, StreamReset) and not answer.done.done():
            answer.done.set_exception(plain.Cut(f"the stream was reset ({event.error_code})"))


async def client(load: plain.Load) -> None:
    """STREAMS requests at a time over one connection; another one only after a miss."""
    current: list[Connection] = []
    opening = asyncio.Lock()

    async def connection() -> Connection:
        async with opening:
            if not current or current[0].over:
                for old in current:
                    old.close()
                current[:] = [await Connection(load).open()]
            return current[0]

    async def request(method: str, body: bytes) -> None:
        await (await connection()).ask(method, body)

    async def stream(number: int) -> None:
        method, body = ("POST", plain.BODY) if number % 2 else ("GET", b"")
        while not load.stop.is_set():
            await load.one("h2", lambda: request(method, body))
            await asyncio.sleep(PAUSE_SECONDS)

    await asyncio.gather(*(stream(number) for number in range(STREAMS)))
    for each in current:
        each.close()
