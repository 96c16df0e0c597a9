"""A relay on loopback between a client and a server: it counts, it can be slow, and it can break a connection."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

CHUNK_BYTES = 65536


class Relay:
    """Listens on `port`. `sent`, `received`: bytes from and to the clients, of all connections together.

    `cut_after`: the connection that brings `sent` to this number is broken, once. `rate`: bytes a second to the server.
    """

    def __init__(self, target: int, rate: float | None = None) -> None:
        self.target = target
        self.rate = rate
        self.sent = self.received = self.connections = 0
        self.cut_after: int | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """End it, once its clients have gone."""
        # Wakes the thread, which closing alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                server = socket.create_connection(("127.0.0.1", self.target))
                self._threads.append(threading.Thread(target=self._serve, args=(client, server)))
                self._threads[-1].start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            down = threading.Thread(target=self._down, args=(server, client))
            down.start()
            self._up(client, server)
            down.join()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := client.recv(CHUNK_BYTES):
                self.sent += len(chunk)
                if self.cut_after is not None and self.sent >= self.cut_after:
                    self.cut_after = None
                    break
                if self.rate:
                    time.sleep(len(chunk) / self.rate)
                server.sendall(chunk)
            else:
                server.shutdown(socket.SHUT_WR)
                return
        for end in (client, server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := server.recv(CHUNK_BYTES):
                self.received += len(chunk)
                client.sendall(chunk)
            client.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relay(target: int, rate: float | None = None) -> Iterator[Relay]:
    """A relay to a port on loopback for a block."""
    started = Relay(target, rate)
    try:
        yield started
    finally:
        started.close()
