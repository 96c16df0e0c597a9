"""Named steps of a change: what was done, when it began and how long it took.

Around each part of the way of a change stands ``with step("build"):``. Where nobody records, that costs a look at a
variable. A thread belongs to the step in whose context it was started (contextvars.copy_context).
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from types import TracebackType

MAX_STEPS = 500  # of a recording: a scale to hundreds of processes has more than anybody reads
MAX_MESSAGE_BYTES = 128 << 10


@dataclass(frozen=True)
class Took:
    """One step of a recording, in seconds of the machine's monotonic clock: the same in all of its processes.

    `depth`: 0 for one that is part of no other. They come in the order in which they began, each before its parts.
    """

    depth: int
    name: str
    about: str
    began: float
    ended: float


class step:
    """A part of what this process does, by its name and what it is about ("web.1"); entered once."""

    __slots__ = ("_token", "about", "began", "below", "ended", "name")

    def __init__(self, name: str, about: str = "") -> None:
        self.name, self.about = name, about
        self.began = self.ended = 0.0
        self.below: list[step | Took] = []
        self._token: Token[step | None] | None = None

    def __enter__(self) -> step:
        above = _current.get()
        if above is not None:
            above.below.append(self)
            self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            self.ended = time.monotonic()
            _current.reset(self._token)
            self._token = None

    def _begin(self) -> None:
        self.began = time.monotonic()
        self._token = _current.set(self)

    def parts(self) -> list[Took]:
        """The steps inside of this one, as far as they have come."""
        return list(self._walk(0))[:MAX_STEPS]

    def _walk(self, depth: int) -> Iterator[Took]:
        now = time.monotonic()
        for item in sorted(self.below, key=lambda item: item.began):
            if isinstance(item, Took):
                yield replace(item, depth=depth + item.depth)
            else:
                yield Took(depth, item.name, item.about, item.began, item.ended or now)
                yield from item._walk(depth + 1)


class recording(step):
    """A step whose parts are kept even where nobody else records."""

    __slots__ = ()

    def __enter__(self) -> recording:
        above = _current.get()
        if above is not None:
            above.below.append(self)
        self._begin()
        return self


_current: ContextVar[step | None] = ContextVar("step", default=None)


def pack(number: int, whole: recording) -> bytes:
    """What a hook tells the command that started its push: an operation's number and steps."""
    rows = [[item.depth, item.name, item.about, item.began, item.ended] for item in whole.parts()]
    return json.dumps([number, whole.began, whole.ended or time.monotonic(), rows]).encode()


@dataclass(frozen=True)
class Told:
    """A hook's recording: of which operation, from when to when (as in `Took`), and its parts."""

    number: int
    began: float
    ended: float
    parts: list[Took]

    def within(self, began: float) -> list[Took]:
        """Them, and around them what git does: receiving what is pushed, from `began` on, and accepting the ref."""
        receive = Took(0, "receive", "", began, self.began)
        return [receive, *self.parts, Took(0, "ref", "", self.ended, time.monotonic())]


def tell(descriptor: int, message: bytes) -> None:
    """Send it over a lifeline; that nobody listens any more does not matter."""
    with contextlib.suppress(OSError), socket.socket(fileno=descriptor) as line:
        try:
            line.send(message, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        finally:
            line.detach()


def heard(line: socket.socket) -> list[Told]:
    """What hooks have sent."""
    found = []
    with contextlib.suppress(OSError):
        while message := line.recv(MAX_MESSAGE_BYTES, socket.MSG_DONTWAIT):
            number, began, ended, rows = json.loads(message)
            found.append(Told(number, began, ended, [Took(*row) for row in rows]))
    return found


def in_milliseconds(parts: list[Took], began: float) -> list[dict[str, object]]:
    """As they are stored and shown: begin (after `began`) and length in milliseconds, to a tenth."""
    return [
        {
            "name": item.name,
            "about": item.about,
            "depth": item.depth,
            "start_ms": round((item.began - began) * 1000, 1),
            "took_ms": round((item.ended - item.began) * 1000, 1),
        }
        for item in parts
    ]
