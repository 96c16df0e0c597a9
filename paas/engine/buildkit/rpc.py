"""A gRPC server on one connection that the other side opened: what BuildKit calls a session.

One thread serves it. Calls are answered in small pieces by turns, so that a long one does not keep the others waiting:
the builder ends a session whose health is not answered in time.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

READ_BYTES = 1 << 18
MAX_MESSAGE_BYTES = 16 << 20
OK, NOT_FOUND, UNIMPLEMENTED = 0, 5, 12

Headers = list[tuple[str, str]]


class CallFailed(Exception):
    """How a call ends that has no answer: a status of gRPC."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Call(Protocol):
    """One call. `next` is asked again and again for what to say: messages, none for now (an empty list), or None at
    the end."""

    def receive(self, message: bytes) -> None: ...
    def next(self) -> list[bytes] | None: ...


Method = Callable[[Headers], Call]


class Answered:
    """A call with one message and one answer. `answer` may raise CallFailed."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer
        self._answers: deque[bytes] = deque()
        self._done = False

    def receive(self, message: bytes) -> None:
        self._answers.append(self._answer(message))
        self._done = True

    def next(self) -> list[bytes] | None:
        if self._answers:
            return [self._answers.popleft()]
        return None if self._done else []


class _Stream:
    def __init__(self, call: Call) -> None:
        self.call = call
        self.received = bytearray()
        self.pending = b""
        self.ended = False

    def messages(self) -> list[bytes]:
        """What has arrived whole."""
        found = []
        while len(self.received) >= 5:
            length = int.from_bytes(self.received[1:5], "big")
            if self.received[0] or length > MAX_MESSAGE_BYTES:
                raise CallFailed(UNIMPLEMENTED)
            if len(self.received) < 5 + length:
                break
            found.append(bytes(self.received[5 : 5 + length]))
            del self.received[: 5 + length]
        return found


class Server:
    """Serves `methods` (by path) on `connection` until the other side closes it; `first` was read from it already."""

    def __init__(self, connection: socket.socket, methods: dict[str, Method], first: bytes = b"") -> None:
        self._socket = connection
        self._methods = methods
        self._first = first
        self._http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._streams: dict[int, _Stream] = {}
        self.broken: Exception | None = None

    def run(self) -> None:
        """Return when the connection is closed, whoever did it; `broken` says why where it was us."""
        try:
            self._serve()
        except (OSError, ProtocolError):
            return
        except Exception as error:
            self.broken = error
        finally:
            # The builder would wait for us.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        self._http.initiate_connection()
        if self._first:
            self._take(self._first)
        while True:
            busy = self._speak()
            self._flush()
            if not select.select([self._socket], [], [], 0 if busy else None)[0]:
                continue
            data = self._socket.recv(READ_BYTES)
            if not data:
                return
            self._take(data)

    def _flush(self) -> None:
        data = self._http.data_to_send()
        if data:
            self._socket.sendall(data)

    def _take(self, data: bytes) -> None:
        for event in self._http.receive_data(data):
            self._handle(event)

    def _handle(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._begin(event.stream_id, [(str(name), str(value)) for name, value in event.headers])
        elif isinstance(event, DataReceived):
            self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            stream = self._streams.get(event.stream_id)
            if stream:
                stream.received += event.data
                with self._failing(event.stream_id):
                    for message in stream.messages():
                        stream.call.receive(message)
        elif isinstance(event, StreamReset):
            self._streams.pop(event.stream_id, None)
        elif isinstance(event, StreamEnded) and event.stream_id in self._streams:
            self._streams[event.stream_id].ended = True

    def _begin(self, number: int, headers: Headers) -> None:
        method = self._methods.get(dict(headers).get(":path", ""))
        self._http.send_headers(number, [(":status", "200"), ("content-type", "application/grpc")])
        if method is None:
            self._end(number, UNIMPLEMENTED)
            return
        with self._failing(number):
            self._streams[number] = _Stream(method(headers))

    @contextlib.contextmanager
    def _failing(self, number: int) -> Iterator[None]:
        try:
            yield
        except CallFailed as failed:
            self._end(number, failed.status)

    def _end(self, number: int, status: int) -> None:
        self._streams.pop(number, None)
        with contextlib.suppress(ProtocolError):
            self._http.send_headers(number, [("grpc-status", str(status))], end_stream=True)

    def _speak(self) -> bool:
        """Let each call say a piece. Returns whether one could go on at once."""
        busy = False
        for number, stream in list(self._streams.items()):
            with self._failing(number):
                if not stream.pending:
                    said = stream.call.next()
                    if said is None:
                        self._end(number, OK)
                        continue
                    stream.pending = b"".join(b"\0" + len(item).to_bytes(4, "big") + item for item in said)
                busy |= self._send(number, stream)
        return busy

    def _send(self, number: int, stream: _Stream) -> bool:
        """Send what the other side has room for. Returns whether there may be more to send at once."""
        if not stream.pending:
            return False
        at = 0
        while at < len(stream.pending):
            room = min(self._http.local_flow_control_window(number), self._http.max_outbound_frame_size)
            if room <= 0:
                break
            self._http.send_data(number, stream.pending[at : at + room])
            at += room
        stream.pending = stream.pending[at:]
        return not stream.pending
