"""Something between paas and the real engine that can be slow, silent, rude or gone."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 65536
ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n" + (
    b'{"message":"out of sorts"}\n'
)


@dataclass
class Trouble:
    """What happens to requests whose first line matches `request`: the answer comes `delay` seconds late; after `bytes` of
    it the engine is silent (`hang`) or hangs up (`cut`); or it is an error 500 (`fail`)."""

    request: str = ""
    delay: float = 0.0
    bytes: int = 0
    hang: bool = False
    cut: bool = False
    fail: bool = False


class EngineProxy:
    """Listens at `path` for the engine at `engine`. Connections that hang go on when the trouble is `over`."""

    def __init__(self, path: Path, engine: Path) -> None:
        self.path, self.engine = path, engine
        self.trouble: Trouble | None = None
        # Whether the trouble has met a request.
        self.met = False
        self._changed = threading.Condition()
        self._closed = False
        self._connections: set[socket.socket] = set()
        self.open()

    def open(self) -> None:
        """Take connections (again)."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen(256)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def refuse(self) -> None:
        """As an engine that does not run: no new connections, and those that are there are cut."""
        # Unlinked first, so that nobody who looks for it finds one that does not answer.
        self.path.unlink()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def having(self, trouble: Trouble) -> Iterator[None]:
        """A block in which requests meet `trouble`; with an empty `request`, answers that are under way as well."""
        before = self.trouble
        self._set(trouble)
        try:
            yield
        finally:
            self._set(before)

    def close(self) -> None:
        self._closed = True
        self._set(None)
        with contextlib.suppress(OSError):
            self.refuse()

    def _set(self, trouble: Trouble | None) -> None:
        with self._changed:
            self.trouble, self.met = trouble, False
            self._changed.notify_all()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        engine = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connections |= {client, engine}
        with contextlib.suppress(OSError), client, engine:
            engine.connect(str(self.engine))
            self._relay(client, engine)
        self._connections -= {client, engine}

    def _relay(self, client: socket.socket, engine: socket.socket) -> None:
        """Both ways until the engine has ended; what it answers meets the trouble of the request before it."""
        poller = select.poll()
        for end in (client, engine):
            poller.register(end, select.POLLIN)
        trouble: Trouble | None = None
        sent = 0
        while True:
            ready = {number for number, _ in poller.poll()}
            if client.fileno() in ready:
                data = client.recv(CHUNK_BYTES)
                if data:
                    first = data.partition(b"\r\n")[0].decode("latin-1")
                    if first.endswith(" HTTP/1.1"):
                        trouble, sent = self._met(first), 0
                    if trouble is not None and trouble.fail:
                        return client.sendall(ERROR)
                    engine.sendall(data)
                else:
                    poller.unregister(client)
                    engine.shutdown(socket.SHUT_WR)
            if engine.fileno() in ready:
                data = engine.recv(CHUNK_BYTES)
                now = trouble or self._met("")
                if now is not None and now is self.trouble:
                    self._wait(now, now.delay)
                    if now.hang or now.cut:
                        part = data[: max(0, now.bytes - sent)]
                        client.sendall(part)
                        sent, data = sent + len(part), data[len(part) :]
                        if data and now.cut:
                            return None
                        if data or not part:
                            self._wait(now)
                client.sendall(data)
                if not data:
                    return None

    def _met(self, first: str) -> Trouble | None:
        """What a request with this first line meets; an empty one, of which there is none: what meets all."""
        found = self.trouble
        if found is None or not re.search(found.request, first):
            return None
        self.met = True
        return found

    def _wait(self, trouble: Trouble, seconds: float | None = None) -> None:
        """Until this trouble is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.trouble is not trouble, seconds)
