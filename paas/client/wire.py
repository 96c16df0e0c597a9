"""The stream to the host: written by a thread of its own, packed while the link is slower than the packing."""

from __future__ import annotations

import queue
import threading
import time
import zlib
from typing import IO

from paas.client.failure import ConnectionLost
from paas.model.layers import DATA, DATA_BYTES, MAGIC, PACKED, frame

LEVEL = 1
# Frames that wait for the link; a frame is 1 MB at the most.
WAITING = 4
# Of what can hardly be packed every so many frames one is tried again.
TRY_EVERY = 16
WORTH = 0.9
# How much the last megabyte counts among those before it.
WEIGHT = 0.2
USUAL_PACKING = 50e6  # bytes a second
# Until the buffers of pipes and sockets are full the link looks faster than it is.
UNMEASURED_BYTES = 4 * DATA_BYTES


class Wire:
    """Frames on their way into a pipe. `sent`: bytes that were written.

    Raises ConnectionLost once nobody reads them any more.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self.sent = 0
        self._pipe = pipe
        self._waiting: queue.Queue[bytes | None] = queue.Queue(WAITING)
        self._lost = False
        self._link = float("inf")
        self._packing, self._ratio = USUAL_PACKING, 0.5
        self._plain = 0
        self._thread = threading.Thread(target=self._write_all, daemon=True)
        self._thread.start()
        self.put(MAGIC)

    def put(self, data: bytes) -> None:
        if self._lost:
            raise ConnectionLost()
        self._waiting.put(data)

    def data(self, chunk: bytes) -> None:
        """The next bytes of a layer, MAX_FRAME_BYTES at the most."""
        if not self._pays():
            self._plain += 1
            self.put(frame(DATA, chunk))
            return
        self._plain = 0
        started = time.perf_counter()
        packed = zlib.compress(chunk, LEVEL)
        seconds = max(time.perf_counter() - started, 1e-6)
        self._packing += WEIGHT * (len(chunk) / seconds - self._packing)
        self._ratio += WEIGHT * (len(packed) / len(chunk) - self._ratio)
        smaller = len(packed) < len(chunk)
        self.put(frame(PACKED, packed) if smaller else frame(DATA, chunk))

    def close(self) -> None:
        """Wait until all of it is written."""
        self._waiting.put(None)
        self._thread.join()
        try:
            self._pipe.close()
        except OSError:
            self._lost = True
        if self._lost:
            raise ConnectionLost()

    def abandon(self) -> None:
        """Write no more."""
        self._lost = True
        self._waiting.put(None)

    def _pays(self) -> bool:
        """Whether a packed frame is through sooner: packing and sending go on side by side."""
        if self._plain >= TRY_EVERY and self._link < self._packing:
            return True
        return max(1 / self._packing, self._ratio / self._link) < WORTH / self._link

    def _write_all(self) -> None:
        while (data := self._waiting.get()) is not None:
            if self._lost:
                continue
            started = time.perf_counter()
            try:
                self._pipe.write(data)
                self._pipe.flush()
            except (OSError, ValueError):
                self._lost = True
                continue
            self.sent += len(data)
            if self.sent > UNMEASURED_BYTES and len(data) > DATA_BYTES // 16:
                rate = len(data) / max(time.perf_counter() - started, 1e-6)
                self._link = rate if self._link == float("inf") else self._link + WEIGHT * (rate - self._link)
