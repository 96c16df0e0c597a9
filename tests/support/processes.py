"""What processes take, as the kernel counts it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def children(pid: int) -> list[int]:
    """Those that it has started, none of one that has ended."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for listed in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, listed.read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    """A process and everything below it."""
    found = [pid]
    for each in found:
        found += children(each)
    return found


def name(pid: int) -> str:
    """What the process calls itself."""
    return Path(f"/proc/{pid}/comm").read_text().strip()


def pss(pid: int) -> int:
    """Its share of resident memory in kB: a page that several processes have counts once among them."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def cpu_seconds(pid: int) -> float:
    """Processor time that it has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid: int) -> int:
    """How many files it has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
