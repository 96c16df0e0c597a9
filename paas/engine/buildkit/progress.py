"""What BuildKit tells of its steps, as lines: ``#5 [2/3] RUN make``, ``#5 0.312 what it printed``, ``#5 DONE 4.1s``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from paas.engine.buildkit import wire


@dataclass
class _Step:
    number: int
    name: str
    started: float | None = None
    shown: bool = False
    over: bool = False
    part: bytes = b""


@dataclass
class Progress:
    """The steps of one build so far."""

    _steps: dict[str, _Step] = field(default_factory=dict)

    def lines(self, text: bytes) -> Iterator[str]:
        """What is new in a status message. Raises Malformed."""
        told = list(wire.fields(text))
        for kind, value in told:
            if kind == 1 and isinstance(value, bytes):
                yield from self._step(value)
        for kind, value in told:
            if kind == 3 and isinstance(value, bytes):
                yield from self._output(value)
        for kind, value in told:
            if kind == 1 and isinstance(value, bytes):
                yield from self._end(value)

    def _known(self, texts: dict[int, str]) -> _Step:
        return self._steps.setdefault(texts.get(1, ""), _Step(len(self._steps) + 1, texts.get(3, "")))

    def _step(self, text: bytes) -> Iterator[str]:
        found = dict(wire.fields(text))
        step = self._known(wire.texts(text))
        begun = found.get(5)
        if isinstance(begun, bytes) and step.started is None:
            step.started = _seconds(begun)
        if begun and not step.shown:
            step.shown = True
            yield f"#{step.number} {step.name}"

    def _output(self, text: bytes) -> Iterator[str]:
        found = dict(wire.fields(text))
        step = self._known(wire.texts(text))
        message, moment = found.get(4, b""), found.get(2, b"")
        if isinstance(message, bytes) and isinstance(moment, bytes):
            *whole, step.part = (step.part + message).split(b"\n")
            after = _seconds(moment) - (step.started or _seconds(moment))
            for line in whole:
                yield f"#{step.number} {max(0.0, after):.3f} {_text(line)}"

    def _end(self, text: bytes) -> Iterator[str]:
        found = dict(wire.fields(text))
        texts = wire.texts(text)
        step = self._known(texts)
        completed = found.get(6)
        if not isinstance(completed, bytes) or step.over:
            return
        step.over = True
        if step.part:
            yield f"#{step.number} {_text(step.part)}"
        if texts.get(7):
            yield f"#{step.number} ERROR: {texts[7]}"
        elif found.get(4):
            yield f"#{step.number} CACHED"
        else:
            yield f"#{step.number} DONE {max(0.0, _seconds(completed) - (step.started or 0)):.1f}s"


def _text(line: bytes) -> str:
    # Of what is written over in place the last is what is left.
    return line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")


def _seconds(text: bytes) -> float:
    found = dict(wire.fields(text))
    return int(found.get(1, 0)) + int(found.get(2, 0)) / 1e9
