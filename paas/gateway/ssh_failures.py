"""How often clients of one address tried keys lately that nobody has let in: beyond a number of them they wait."""

from __future__ import annotations

import hashlib
import ipaddress
import mmap
import struct
import sys
import time

MAX_FAILURES = 60  # connections of an address and minute; each may have tried ten keys
ROWS = 4096
MINUTE_SECONDS = 60
IPV6_PREFIX = 64  # what one customer has
_ROW = struct.Struct("=QQQ")


class FailedLogins:
    """Shared by the server, which asks, and the processes of its connections, which count."""

    def __init__(self, most: int = MAX_FAILURES) -> None:
        self.most = most
        # By address: what marks it, which minute it is, how many failed.
        self.memory = mmap.mmap(-1, ROWS * _ROW.size)

    def admit(self, address: str) -> bool:
        """Whether a client of this address may try."""
        return self._count(*_row(address)) < self.most

    def failed(self, address: str) -> None:
        """One tried and was not let in. The one after which the others wait is told on standard error."""
        place, mark = _row(address)
        # Two at once may lose count of each other, which costs one more try.
        count = self._count(place, mark) + 1
        _ROW.pack_into(self.memory, place, mark, _minute(), count)
        if count == self.most:
            sys.stderr.write(f"SSH server: {address} waits for the next minute: {count} logins failed in this one\n")
            sys.stderr.flush()

    def _count(self, place: int, mark: int) -> int:
        found, minute, count = _ROW.unpack_from(self.memory, place)
        return int(count) if (found, minute) == (mark, _minute()) else 0


def _minute() -> int:
    return int(time.time()) // MINUTE_SECONDS


def _row(address: str) -> tuple[int, int]:
    """Where an address is counted, and its mark there. Two of one place forget each other's numbers."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # Gone already.
        network = address
    else:
        mapped = getattr(found, "ipv4_mapped", None) or found
        network = str(ipaddress.ip_network((mapped, IPV6_PREFIX if mapped.version == 6 else 32), strict=False))
    mark = int.from_bytes(hashlib.blake2b(network.encode(), digest_size=8).digest(), "little")
    return mark % ROWS * _ROW.size, mark
