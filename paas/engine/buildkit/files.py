"""How the builder gets the files of a build: it is told what there is, asks for what it does not have, and gets that."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence

from paas.engine.buildkit import wire
from paas.engine.buildkit.rpc import Headers
from paas.engine.context import Context, Entry

PATH = "/moby.filesync.v1.FileSync/DiffCopy"
PIECE_BYTES = 1 << 16
_STAT, _REQUEST, _DATA, _END, _FAILURE = range(5)
_GO_FOLDER, _GO_LINK = 1 << 31, 1 << 27


class SendFiles:
    """One call of the builder: the entries of a context that its headers ask for."""

    def __init__(self, context: Context, headers: Headers) -> None:
        self._context = context
        self._entries = chosen(context, headers)
        self._told = 0
        self._all_told = False
        self._asked: deque[int] = deque()
        self._current: Iterator[bytes] | None = None
        self._ended = False
        self._finished = False

    def receive(self, message: bytes) -> None:
        found = dict(wire.fields(message))
        kind = found.get(1, _STAT)
        if kind == _REQUEST:
            self._asked.append(int(found.get(3, 0)))
        elif kind in (_END, _FAILURE):
            self._ended = True

    def next(self) -> list[bytes] | None:
        if self._finished:
            return None
        if not self._all_told:
            return self._tell()
        if self._current is None and self._asked:
            number = self._asked.popleft()
            self._current = self._pieces(number, self._entries[number])
        if self._current is not None:
            piece = next(self._current, None)
            if piece is not None:
                return [piece]
            self._current = None
            return self.next()
        if self._ended:
            self._finished = True
            return [wire.number(1, _END)]
        return []

    def _tell(self) -> list[bytes]:
        said, size = [], 0
        while self._told < len(self._entries) and size < PIECE_BYTES:
            said.append(wire.message(2, _stat(self._entries[self._told])))
            size += len(said[-1])
            self._told += 1
        if self._told == len(self._entries):
            self._all_told = True
            said.append(b"")
        return said

    def _pieces(self, number: int, entry: Entry) -> Iterator[bytes]:
        head = wire.number(1, _DATA) + wire.number(3, number)
        for piece in self._context.read(entry):
            # An empty one says that it was the last.
            if piece:
                yield head + wire.data(4, piece)
        yield head


def _stat(entry: Entry) -> bytes:
    mode = stat.S_IMODE(entry.mode)
    if stat.S_ISDIR(entry.mode):
        mode |= _GO_FOLDER
    elif stat.S_ISLNK(entry.mode):
        mode |= _GO_LINK
    return (
        wire.data(1, os.fsencode(entry.path))
        + wire.number(2, mode)
        + wire.number(5, entry.size)
        + wire.number(6, entry.mtime_ns)
        + wire.data(7, os.fsencode(entry.link))
    )


def chosen(context: Context, headers: Headers) -> Sequence[Entry]:
    """The entries that a call is about: without what .dockerignore leaves out, and of them those that are copied."""

    def values(name: str) -> list[str]:
        from urllib.parse import unquote

        encoded = any(key == f"{name}-encoded" for key, _ in headers)
        return [unquote(value) if encoded else value for key, value in headers if key == name]

    entries = context.entries()
    included = values("include-patterns")
    followed = values("followpaths")
    if included or followed:
        entries = below(entries, [*included, *followed])
    excluded = values("exclude-patterns")
    return without(entries, excluded, context.always) if excluded else entries


def below(entries: Sequence[Entry], paths: Sequence[str]) -> Sequence[Entry]:
    """What is at or below one of the paths, and the folders that lead there. All of it where a link may lead elsewhere."""
    if any(stat.S_ISLNK(entry.mode) for entry in entries):
        return entries
    tops = [_fixed(path) for path in paths]
    if "" in tops:
        return entries
    leading = {top[:at] for top in tops for at, letter in enumerate(top) if letter == "/"}
    exact = set(tops)
    inside = tuple(f"{top}/" for top in tops)
    return [
        entry for entry in entries if entry.path in exact or entry.path in leading or entry.path.startswith(inside)
    ]


def _fixed(path: str) -> str:
    """The part of a path before its first wildcard, as a path."""
    parts = []
    for part in path.split("/"):
        if any(letter in part for letter in "*?[\\"):
            break
        if part == "..":
            return ""
        if part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def without(entries: Sequence[Entry], patterns: Sequence[str], always: frozenset[str]) -> Sequence[Entry]:
    """What the patterns of a .dockerignore leave. The entries are in order: each folder comes before what is in it."""
    from docker.utils.build import Pattern

    rules = [rule for rule in map(Pattern, patterns) if rule.dirs]
    nothing = (False,) * len(rules)
    matches: dict[str, tuple[bool, ...]] = {}
    kept: set[str] = set()
    for entry in entries:
        # What matches a folder matches all that is in it.
        above = matches.get(entry.path.rpartition("/")[0], nothing)
        found = tuple(was or bool(rule.match(entry.path)) for was, rule in zip(above, rules, strict=True))
        if stat.S_ISDIR(entry.mode):
            matches[entry.path] = found
        out = False
        for rule, match in zip(rules, found, strict=True):
            out = not rule.exclusion if match else out
        if entry.path in always or not out:
            path = entry.path
            while path and path not in kept:
                # A folder that is left out is there all the same where something in it is not.
                kept.add(path)
                path = path.rpartition("/")[0]
    return [entry for entry in entries if entry.path in kept]
