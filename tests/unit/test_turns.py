"""So many at once, in the order in which they came, with real processes."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from support.clients import until

from paas.store.turns import turn


@contextlib.contextmanager
def noted(path: Path) -> Iterator[None]:
    path.touch()
    yield


def taker(folder: Path, count: int, name: str) -> int:
    """A process that takes its turn, notes it, and ends when the file NAME.end is there; its pid."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with turn(folder / "turns", count, lambda: noted(folder / f"{name}.waits")):
                with (folder / "order").open("a") as order:
                    order.write(f"{name}\n")
                until((folder / f"{name}.end").exists)
            code = 0
        finally:
            os._exit(code)
    return pid


def queued(pid: int) -> bool:
    """Whether a process that waits is in the queue or at its head."""
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any("FLOCK" in line and str(pid) in line for line in lines)


def order(folder: Path) -> list[str]:
    path = folder / "order"
    return path.read_text().split() if path.exists() else []


def test_one_more_waits_and_they_keep_their_order(tmp_path: Path) -> None:
    pids = {}
    for number, name in enumerate("abcdef"):
        pids[name] = taker(tmp_path, 2, name)
        if number < 2:
            until(lambda: len(order(tmp_path)) == number + 1)  # noqa: B023
        else:
            until((tmp_path / f"{name}.waits").exists)
            until(lambda: queued(pids[name]))  # noqa: B023
    assert order(tmp_path) == ["a", "b"]
    # One that is killed makes room as well.
    os.kill(pids["b"], signal.SIGKILL)
    until(lambda: order(tmp_path) == ["a", "b", "c"])
    for name, expected in (("a", "abcd"), ("d", "abcde"), ("c", "abcdef")):
        (tmp_path / f"{name}.end").touch()
        until(lambda: "".join(order(tmp_path)) == expected)  # noqa: B023
    for name in "ef":
        (tmp_path / f"{name}.end").touch()
    assert {name: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for name, pid in pids.items()} == {
        **dict.fromkeys("acdef", 0),
        "b": -signal.SIGKILL,
    }
