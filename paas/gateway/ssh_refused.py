"""The SSH server's log of who was not let in: a line a connection, some a minute at the most."""

from __future__ import annotations

import mmap
import struct
import sys
import time

LINES_A_MINUTE = 60
MINUTE_SECONDS = 60
SHOWN_KEYS = 3
_STATE = struct.Struct("=QQQ")


class RefusedLog:
    """Shared by the server and the processes that it forks, one of which runs for each connection."""

    def __init__(self) -> None:
        # Which minute it is, how many lines it had, and how many more it would have had.
        self.memory = mmap.mmap(-1, _STATE.size)

    def write(self, address: str, marks: list[str]) -> None:
        """Tell on standard error that a client with keys of these fingerprints was not let in."""
        minute = int(time.time()) // MINUTE_SECONDS
        # Two at once may lose count of each other, which costs a line more or less.
        then, lines, left_out = _STATE.unpack_from(self.memory)
        if then != minute:
            self._say(f"{left_out} more were not let in, in a minute" if left_out else "")
            lines, left_out = 0, 0
        if lines < LINES_A_MINUTE:
            self._say(_line(address, marks))
            lines += 1
        else:
            left_out += 1
        _STATE.pack_into(self.memory, 0, minute, lines, left_out)

    def _say(self, text: str) -> None:
        if text:
            sys.stderr.write(f"SSH server: {text}\n")
            sys.stderr.flush()


def _line(address: str, marks: list[str]) -> str:
    offered = list(dict.fromkeys(marks))
    if not offered:
        return f"{address} was not let in: it offered no key"
    more = f" and {len(offered) - SHOWN_KEYS} more" if len(offered) > SHOWN_KEYS else ""
    return f"{address} was not let in with {', '.join(offered[:SHOWN_KEYS])}{more}"
