"""Turns: so many processes do it at once, the others wait in the order in which they came. A killed one leaves none behind."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from paas.store.locks import FileLock, held

QUEUE = "queue"
# The kernel tells that a killed process's file was closed just before it takes its lock away.
LOOK_MILLISECONDS = 1000


@contextlib.contextmanager
def turn(folder: Path, count: int, waiting: Callable[[], AbstractContextManager[object]]) -> Iterator[None]:
    """Be one of `count` that are in a block with this `folder`; `waiting` is entered while that has to be waited for."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    places = [FileLock(folder / str(number)) for number in range(count)]
    try:
        place = _free(places)
        if place is None:
            with waiting():
                place = _wait(folder, places)
        yield
        fcntl.flock(place.descriptor, fcntl.LOCK_UN)
    finally:
        for each in places:
            each.release()


def _free(places: list[FileLock]) -> FileLock | None:
    return next((place for place in places if place.try_acquire()), None)


def _wait(folder: Path, places: list[FileLock]) -> FileLock:
    from inotify_simple import INotify, flags

    with held(folder / QUEUE), INotify() as closed:
        closed.add_watch(folder, flags.CLOSE_WRITE)
        while (place := _free(places)) is None:
            closed.read(timeout=LOOK_MILLISECONDS)
        return place
