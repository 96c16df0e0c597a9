"""What paas costs a machine that rests: memory and processor time, with 1 app and with many.

    PYTHONPATH=tests:. .venv/bin/python -P -m bench.memory

Memory is PSS in kB, so what processes share counts once; processor time is per cent of a core. Needs what tests/run installs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from support import images, processes
from support.server import Paas, running_paas

from bench import neighbours
from paas.gateway.forking import STANDBY_SECONDS

SETTLE_SECONDS = 5.0  # after which what was begun by a start or a change is over
REST_SECONDS = STANDBY_SECONDS + SETTLE_SECONDS  # after which nobody stands by for more of the same
OLD_WORKER_SECONDS = 90.0
COMMANDS = 200
IN_THE_MINUTE = "in the minute after commands"
GOAL_KB = 80_000
GOAL_PERCENT = 0.5

Counted = dict[str, float]


def sizes_of(paas: Paas) -> list[tuple[str, int]]:
    """Each process's name and PSS."""
    assert paas.process
    found = []
    for pid in processes.descendants(paas.process.pid):
        with contextlib.suppress(OSError):  # The process of a command that has just ended.
            found.append((processes.name(pid), processes.pss(pid)))
    return found


def sizes(paas: Paas) -> Counted:
    """PSS by name; HAProxy's processes are one."""
    return _by_name(sizes_of(paas))


def idle_percent(paas: Paas, seconds: float) -> Counted:
    """Of a core, by name, while nobody wants anything."""
    assert paas.process
    before = {pid: processes.cpu_seconds(pid) for pid in processes.descendants(paas.process.pid)}
    time.sleep(seconds)
    return _by_name(
        (processes.name(pid), 100 * (processes.cpu_seconds(pid) - used) / seconds) for pid, used in before.items()
    )


def _by_name(items: Iterable[tuple[str, float]]) -> Counted:
    found: Counted = {}
    for name, number in items:
        found[name] = round(found.get(name, 0) + number, 2)
    return found


def main() -> int:
    options = _options()
    images.ensure([images.WEB])
    columns: dict[str, Counted] = {}
    with running_paas() as paas:
        paas.command("apps:create", "one").ok()
        paas.command("git:from-image", "one", images.WEB.tag).ok()

        def column(title: str, found: Counted) -> None:
            columns[title] = {"all": round(sum(found.values()), 2), **found}
            print(f"{title}: {columns[title]}", file=sys.stderr, flush=True)

        time.sleep(REST_SECONDS)
        column("1 app", sizes(paas))
        column("1 app, idle %", idle_percent(paas, options.seconds))
        before = len(sizes_of(paas))
        neighbours.join(paas.env, options.apps)
        time.sleep(SETTLE_SECONDS)
        # More apps than there were backends for have HAProxy reloaded; its old worker stays while we listen to it.
        deadline = time.monotonic() + OLD_WORKER_SECONDS
        while len(sizes_of(paas)) > before and time.monotonic() < deadline:
            time.sleep(1)
        column(f"{options.apps} apps", sizes(paas))
        for _ in range(COMMANDS):
            paas.command("apps:list").ok()
        time.sleep(SETTLE_SECONDS)
        column(IN_THE_MINUTE, sizes(paas))
        time.sleep(REST_SECONDS)
        column(f"after {COMMANDS} commands", sizes(paas))
        paas.stop()
        paas.start()
        time.sleep(SETTLE_SECONDS)
        column("started again", sizes(paas))
        column(f"{options.apps} apps, idle %", idle_percent(paas, options.seconds))
    names = list(dict.fromkeys(name for found in columns.values() for name in found))
    print(f"| | {' | '.join(columns)} |")
    print(f"|---{'|---' * len(columns)}|")
    for name in names:
        print(f"| {name} | {' | '.join(str(found.get(name, '')) for found in columns.values())} |")
    if options.json:
        options.json.write_text(json.dumps(columns, indent=2) + "\n")
    at_rest = {title: found["all"] for title, found in columns.items() if title != IN_THE_MINUTE}
    met = all(size <= (GOAL_PERCENT if "%" in title else GOAL_KB) for title, size in at_rest.items())
    return 0 if met else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.memory", description=__doc__)
    parser.add_argument("--apps", type=int, default=neighbours.APPS, metavar="N")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="SECONDS", help="to look at processor time")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
