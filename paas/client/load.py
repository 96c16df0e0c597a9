"""`paas -H host git:load-image app image`: the image of this machine, without the layers that the host has."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from paas.client import docker, ssh, where
from paas.client.docker import LocalImage
from paas.client.failure import ConnectionLost, NoLayers
from paas.client.layered import Layered
from paas.client.saved import Saved
from paas.client.ssh import Ssh
from paas.client.wire import Wire
from paas.console import Console, size
from paas.model.layers import (
    CONFIG,
    DATA_BYTES,
    END,
    IMAGE,
    SEND_ALL,
    Answer,
    Malformed,
    Question,
    frame,
    layer_frame,
    needed,
)
from paas.model.names import printable

COMMAND = "git:load-image"
QUESTION = "git:layers"
STDIN = "--stdin"
IN_LAYERS = "--layers"
WITH_VALUE = ("--build-dir", *where.VALUES)
# How often a broken connection is made again, and how long before the first time; twice as long each time.
ATTEMPTS = 6
WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class LoadWords:
    """A command line of git:load-image: what comes before its name and after it, and the app and the image in it."""

    before: list[str]
    after: list[str]
    app: str
    image: str

    @classmethod
    def parse(cls, words: Sequence[str]) -> LoadWords | None:
        """None where it is another command, or one that says too little."""
        if where.command_name(words) != COMMAND:
            return None
        place = list(words).index(COMMAND)
        before, after = list(words[:place]), list(words[place + 1 :])
        app, plain, rest = "", [], iter([*before, *after])
        for word in rest:
            if word in WITH_VALUE:
                value = next(rest, "")
                app = value if word == "--app" else app
            elif word.startswith("--app="):
                app = word.partition("=")[2]
            elif not word.startswith("--"):
                plain.append(word)
        names = [app, *plain] if app else plain
        return cls(before, after, names[0], names[1]) if len(names) > 1 else None

    @property
    def question(self) -> list[str]:
        return [QUESTION, self.app, self.image]

    def command(self, *flags: str) -> list[str]:
        return [*self.before, COMMAND, *flags, *self.after]


@dataclass
class Load:
    """One image on its way to one app."""

    ssh: Ssh
    words: LoadWords
    console: Console = field(default_factory=Console)

    def run(self) -> int:
        """Send what the host lacks until it has all; the exit code of the command over there. Raises PaasError."""
        image = docker.find(self.words.image)
        attempt, arrived = 0, -1
        while True:
            with Opened(image) as source:
                code, answer = self._ask(image, quiet=attempt > 0)
                if answer is not None:
                    kept = sum(answer.kept.values())
                    attempt, arrived = (0 if kept > arrived else attempt), kept
                    code = self._send(image, answer, source)
            if code == SEND_ALL or code is None:
                return self._whole(image)
            # A connection that never was is not made again.
            if code != ssh.FAILED or attempt == ATTEMPTS or (arrived < 0 and answer is None):
                return code
            self.console.warn("The connection broke. What has arrived is kept, only the rest is sent again")
            time.sleep(WAIT_SECONDS * 2**attempt)
            attempt += 1

    def _ask(self, image: LocalImage, quiet: bool) -> tuple[int | None, Answer | None]:
        """What the host has, or the exit code that ends it; neither from a host that does not know the question."""
        code, out, err = self.ssh.ask(self.words.question, Question(image.id, image.layers).to_json())
        if code == 0:
            try:
                return None, Answer.parse(out)
            except Malformed:
                return None, None
        text = err.decode("utf-8", "replace")
        if f"{QUESTION} is not a" in text.replace("`", ""):
            self.console.detail("The host takes whole images only")
            return None, None
        if code != ssh.FAILED or not quiet:
            sys.stderr.write(text)
            sys.stderr.flush()
        return code, None

    def _whole(self, image: LocalImage) -> int:
        """Send the archive as the engine writes it."""
        self.console.step(f"Sending all of {printable(image.name, 200)}, {size(image.size)}")
        with docker.reading("image", "save", image.name) as archive:
            return self.ssh.send(self.words.command(), archive).wait()

    def _send(self, image: LocalImage, answer: Answer, source: Opened) -> int | None:
        """The exit code; None where the image can't be taken apart here."""
        if answer.image:
            self.console.step(f"The host has {printable(image.name, 200)}")
            return self._stream(lambda wire: wire.put(frame(IMAGE, image.id.encode())))
        wanted = needed(image.layers, answer.held)
        if answer.whole:
            self.console.detail("The host's image store needs every layer")
        kept = sum(answer.kept.get(diff_id, 0) for diff_id in wanted)
        also = f", of which {size(kept)} have arrived already" if kept else ""
        self.console.step(f"Sending {len(wanted)} of {len(set(image.layers))} layers{also}")
        try:
            return self._stream(lambda wire: _layered(source, wanted, answer, wire))
        except NoLayers:
            saved = Saved(image)
        try:
            return self._stream(lambda wire: _saved(saved, wanted, answer, wire))
        except NoLayers:
            self.console.detail("The image can't be taken apart on this machine")
            return None

    def _stream(self, fill: Callable[[Wire], None]) -> int:
        """Run the command over there and let `fill` write what it reads."""
        sending = self.ssh.send(self.words.command(IN_LAYERS))
        assert sending.stdin is not None  # noqa: S101 - it is a pipe
        wire = Wire(sending.stdin)
        try:
            fill(wire)
            wire.put(frame(END))
            wire.close()
        except ConnectionLost:
            # The command over there may have ended by itself and said why.
            pass
        except BaseException:
            wire.abandon()
            sending.kill()
            sending.wait()
            raise
        return sending.wait()


class Opened:
    """An image whose single layers are made ready to be read while the host is asked what it has."""

    def __init__(self, image: LocalImage) -> None:
        self._layered = Layered(image)
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._open)

    def __enter__(self) -> Opened:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        try:
            self._layered.open()
        except BaseException as error:
            self._failed = error

    def layers(self) -> Layered:
        """Raises NoLayers."""
        self._thread.join()
        if self._failed is not None:
            raise NoLayers() from self._failed
        return self._layered

    def close(self) -> None:
        """Let go of it. May be done twice."""
        self._thread.join()
        self._layered.close()


def _layered(source: Opened, wanted: list[str], answer: Answer, wire: Wire) -> None:
    image = source.layers()
    config = image.config()
    for diff_id in wanted:
        layer = image.layer(diff_id)
        _put(wire, diff_id, layer.chunks(), layer.size, answer)
    wire.put(frame(CONFIG, config))
    source.close()


def _saved(source: Saved, wanted: list[str], answer: Answer, wire: Wire) -> None:
    for diff_id, layer in source.layers(wanted):
        _put(wire, diff_id, layer.chunks(), layer.size, answer)
    wire.put(frame(CONFIG, source.config()))


def _put(wire: Wire, diff_id: str, chunks: Iterable[bytes], length: int, answer: Answer) -> None:
    """One layer, from where the host's part of it ends."""
    kept = answer.kept.get(diff_id, 0)
    offset = kept if kept <= length else 0
    wire.put(layer_frame(diff_id, offset, length))
    for block in blocks(chunks, offset):
        wire.data(block)


def blocks(chunks: Iterable[bytes], offset: int = 0) -> Iterator[bytes]:
    """The bytes of `chunks` from `offset` on, DATA_BYTES at a time."""
    gathered = bytearray()
    for chunk in chunks:
        if offset >= len(chunk):
            offset -= len(chunk)
            continue
        gathered += memoryview(chunk)[offset:]
        offset = 0
        while len(gathered) >= DATA_BYTES:
            yield bytes(gathered[:DATA_BYTES])
            del gathered[:DATA_BYTES]
    if gathered:
        yield bytes(gathered)
