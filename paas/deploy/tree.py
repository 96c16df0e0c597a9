"""The files of a commit as the context of a build: listed and read from the repository, never checked out."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from paas.engine.context import READ_BYTES, Entry, extra_entries, in_order
from paas.store.repositories import GitFailed, Listed, Repository

SUBMODULE = 0o160000
# Docker copies files with their modes: what git wants readable has to be readable in the image.
_MODES = {0o040000: 0o040755, 0o100644: 0o100644, 0o100664: 0o100644, 0o100755: 0o100755, 0o120000: 0o120777}


def below(items: list[Listed], folder: str) -> list[Listed]:
    """What is in a folder, with paths from there."""
    if not folder:
        return items
    start = f"{folder}/"
    return [
        Listed(item.path.removeprefix(start), item.mode, item.object_id, item.size)
        for item in items
        if item.path.startswith(start)
    ]


class TreeContext:
    """The `items` of a repository; `extra` files beside or instead of them, which no .dockerignore leaves out.

    `memory`: a file that remembers since when each file is as it is. A builder that has had the same one gets only what is new.
    """

    def __init__(
        self, repository: Repository, items: list[Listed], memory: Path, extra: Mapping[str, bytes] | None = None
    ) -> None:
        self.repository = repository
        self.extra = dict(extra or {})
        self.always = frozenset(self.extra)
        self._ids = {item.path: item.object_id for item in items if item.path not in self.extra}
        self._readers: list[_Reader] = []
        self._free: list[_Reader] = []
        times = _times(memory, {item.path: f"{item.mode:o} {item.object_id}" for item in items})
        found = [self._entry(item, times[item.path]) for item in items if item.path in self._ids and item.mode in _MODES]
        self._entries = in_order(found + extra_entries(self.extra))

    def _entry(self, item: Listed, moment: int) -> Entry:
        mode = _MODES[item.mode]
        if stat.S_ISLNK(mode):
            target = os.fsdecode(b"".join(self._object(item.object_id)))
            return Entry(item.path, mode, mtime_ns=moment, link=target)
        return Entry(item.path, mode, item.size, moment)

    def entries(self) -> list[Entry]:
        return self._entries

    def read(self, entry: Entry) -> Iterator[bytes]:
        """Raises GitFailed."""
        if entry.path in self.extra:
            yield self.extra[entry.path]
        else:
            yield from self._object(self._ids[entry.path])

    def _object(self, object_id: str) -> Iterator[bytes]:
        # Two files may be read by turns: each by a git of its own, which is free again when it is at its end.
        if not self._free:
            self._free.append(_Reader(self.repository))
            self._readers.append(self._free[-1])
        reader = self._free.pop()
        yield from reader.read(object_id)
        self._free.append(reader)

    def close(self) -> None:
        for reader in self._readers:
            reader.close()


class _Reader:
    """One git that gives objects as they are asked for."""

    def __init__(self, repository: Repository) -> None:
        self._git = repository.start("cat-file", "--batch", stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read(self, object_id: str) -> Iterator[bytes]:
        asked, answer = self._git.stdin, self._git.stdout
        if asked is None or answer is None:
            raise GitFailed(verb="cat-file", reason="it has no pipes")
        try:
            asked.write(f"{object_id}\n".encode())
            asked.flush()
        except OSError as error:
            raise GitFailed(verb="cat-file", reason=str(error)) from error
        head = answer.readline().split()
        if len(head) != 3:
            raise GitFailed(verb="cat-file", reason=f"the object {object_id} is not there")
        left = int(head[2])
        while left:
            piece = answer.read(min(left, READ_BYTES))
            if not piece:
                raise GitFailed(verb="cat-file", reason=f"the object {object_id} ends early")
            left -= len(piece)
            yield piece
        answer.read(1)

    def close(self) -> None:
        self._git.kill()
        for pipe in (self._git.stdin, self._git.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._git.wait()


def _times(memory: Path, keys: Mapping[str, str]) -> dict[str, int]:
    """Since when (ns) each path has its key, as far as `memory` knows; what is new is so since now."""
    try:
        known: dict[str, list[object]] = json.loads(memory.read_text())
    except (OSError, ValueError):
        known = {}
    now = time.time_ns()
    found = {}
    for path, key in keys.items():
        before = known.get(path)
        found[path] = int(str(before[1])) if before and before[0] == key else now
    if known.keys() != keys.keys() or now in found.values():
        draft = memory.with_suffix(".new")
        memory.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps({path: [key, found[path]] for path, key in keys.items()}))
        draft.rename(memory)
    return found
