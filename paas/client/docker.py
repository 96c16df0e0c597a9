"""The Docker client of this machine, which knows where its engine is: which image there is, and an archive of it."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from paas.client.failure import NoEngine, NoImage
from paas.model.layers import is_id
from paas.model.names import printable

PROGRAM = "docker"


@dataclass(frozen=True)
class LocalImage:
    """An image of this machine's engine: `layers` are its diff ids from the lowest, `size` its bytes."""

    name: str
    id: str
    layers: tuple[str, ...]
    size: int


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NoEngine(reason=f"{PROGRAM} can't be started: {(error.strerror or '').lower()}") from None


def run(*words: str) -> bytes:
    """The output of ``docker WORDS``. Raises NoEngine."""
    with _starting():
        done = subprocess.run([PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it does not say why"]
        raise NoEngine(reason=printable(lines[-1].rstrip("."), 300))
    return done.stdout


def find(name: str) -> LocalImage:
    """Raises NoImage, NoEngine."""
    if name.startswith("-"):
        raise NoImage(image=printable(name))
    try:
        found: dict[str, Any] = json.loads(run("image", "inspect", name))[0]
    except NoEngine as error:
        if "no such image" in str(error).lower():
            raise NoImage(image=printable(name)) from None
        raise
    layers = (found.get("RootFS") or {}).get("Layers") or []
    if not is_id(found.get("Id")) or not all(map(is_id, layers)):
        raise NoEngine(reason="it describes the image in a way that is not known here")
    return LocalImage(name, found["Id"], tuple(layers), int(found.get("Size") or 0))


@contextlib.contextmanager
def reading(*words: str) -> Iterator[IO[bytes]]:
    """The output of ``docker WORDS`` while it comes; it is ended with the block. Raises NoEngine where it can't be started."""
    with _starting():
        process = subprocess.Popen(
            [PROGRAM, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    with process:
        try:
            yield process.stdout
        finally:
            process.stdout.close()
            if process.poll() is None:
                process.terminate()
