"""git's transport spoken by hand, for what no git client would send: refs with any name, packs with anything in them."""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from support.doors import Door

SECONDS = 120
ZERO = "0" * 40
FLUSH = b"0000"
COMMIT, TREE, BLOB, OFS_DELTA = 1, 2, 3, 6
_KINDS = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob"}


@dataclass(frozen=True)
class Object:
    """Something for a pack: its kind, its bytes (of a delta: the delta), and how far back in the pack its base begins."""

    kind: int
    data: bytes
    back: int = 0

    @property
    def id(self) -> str:
        return hashlib.sha1(b"%s %d\0" % (_KINDS[self.kind], len(self.data)) + self.data, usedforsecurity=False).hexdigest()

    @property
    def packed(self) -> bytes:
        head, size = [], len(self.data)
        first, size = (self.kind << 4) | (size & 15), size >> 4
        while size:
            head.append(first | 0x80)
            first, size = size & 0x7F, size >> 7
        head.append(first)
        return bytes(head) + self._base() + zlib.compress(self.data)

    def _base(self) -> bytes:
        if self.kind != OFS_DELTA:
            return b""
        back, found = self.back, [self.back & 0x7F]
        while back := back >> 7:
            back -= 1
            found.insert(0, 0x80 | (back & 0x7F))
        return bytes(found)


def pack(objects: Iterable[Object], claimed: int | None = None) -> bytes:
    """A pack, which may claim another number of objects than it has."""
    found = [item.packed for item in objects]
    data = b"PACK" + struct.pack(">II", 2, len(found) if claimed is None else claimed) + b"".join(found)
    return data + hashlib.sha1(data, usedforsecurity=False).digest()


def tree(*entries: tuple[int, str, str]) -> Object:
    """A folder's list as it is written down: (mode, name, id) each, nothing sorted or checked."""
    parts = [b"%o %s\0" % (mode, name.encode("utf-8", "surrogateescape")) + bytes.fromhex(name_id) for mode, name, name_id in entries]
    return Object(TREE, b"".join(parts))


def commit(of: Object, message: str = "m") -> Object:
    who = "A <a@example.com> 1700000000 +0000"
    return Object(COMMIT, f"tree {of.id}\nauthor {who}\ncommitter {who}\n\n{message}\n".encode())


def varint(number: int) -> bytes:
    """A size as deltas have it."""
    found = []
    while number > 0x7F:
        found.append(0x80 | (number & 0x7F))
        number >>= 7
    return bytes([*found, number])


def line(text: bytes) -> bytes:
    """A pkt-line."""
    return b"%04x" % (len(text) + 4) + text


def push(door: Door, app: str, ref: bytes, objects: Iterable[Object], tip: str, **more: int) -> tuple[int, str]:
    """Send one new ref and a pack; exit code and all that came back but for the refs that are there."""
    asked = line(ZERO.encode() + b" " + tip.encode() + b" " + ref + b"\0report-status side-band-64k") + FLUSH
    return say(door, ["git-receive-pack", app], asked + pack(objects, more.get("claimed")))


def say(door: Door, words: list[str], data: bytes, protocol: str = "") -> tuple[int, str]:
    """Run a command with `data` as all of its input; exit code, and both of its streams as text."""
    options = ["-o", f"SetEnv=GIT_PROTOCOL={protocol}"] if protocol else []
    command = door.ssh_command(*words)
    command[3:3] = options
    done = subprocess.run(command, input=data, capture_output=True, env=door.paas.env, timeout=SECONDS)
    return done.returncode, (_joined(done.stdout) + done.stderr).decode(errors="replace")


def _joined(answer: bytes) -> bytes:
    """What the pkt-lines of an answer hold, without their lengths and channels; from what is no pkt-line on, all of it."""
    found = b""
    while re.match(rb"[0-9a-f]{4}", answer):
        end = max(int(answer[:4], 16), 4)
        found += answer[4:end].lstrip(b"\1\2\3") + (b"\n" if answer[4:5] not in (b"\2", b"\3") else b"")
        answer = answer[end:]
    return found + answer
