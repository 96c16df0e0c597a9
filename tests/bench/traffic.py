"""No request lost: one app under every kind of request while it goes through a hundred changes.

    PYTHONPATH=tests:. .venv/bin/python -P -m bench.traffic --json traffic.json

Counts only; what takes how long is in the table of `bench`. Needs what tests/run installs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import docker
from support import images
from support.changes import Changes, mixed
from support.in_step import check_in_step
from support.server import running_paas
from support.under_load import under_load

from bench.machine import describe

CHECKOUT = Path(__file__).resolve().parents[2]
CLIENTS = {"get": 4, "post": 4, "new": 2, "h2": 2, "slow": 3, "upload": 2, "websocket": 3, "events": 3}
DRAIN_SECONDS = 20  # more than the slowest request
COLUMNS = ("requests", "failed", "reset", "ended", "p50_ms", "p99_ms", "longest_ms")


def main() -> int:
    options = _options()
    images.ensure([images.TRAFFIC])
    done: Counter[str] = Counter()
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, running_paas() as paas:
        changes = Changes(paas, "traffic", Path(folder), f"paas-test-{os.getpid()}", DRAIN_SECONDS)
        try:
            changes.set_up()
            host = "traffic.localhost"
            with under_load(paas, host, CLIENTS, who="traffic", pause=options.pause) as load:
                for number, kind in enumerate(mixed(options.changes), 1):
                    started = time.monotonic()
                    changes.do(kind)
                    seconds.setdefault(kind, []).append(time.monotonic() - started)
                    done[kind] += 1
                    check_in_step(paas)
                    print(f"{number:3} {kind} {seconds[kind][-1]:.2f} s", file=sys.stderr, flush=True)
                    time.sleep(options.between)
                time.sleep(DRAIN_SECONDS + 5)  # until the last ones that were replaced are gone
                results = load.stop()
        except BaseException:
            print(paas.last_log(), file=sys.stderr)
            raise
        finally:
            changes.tear_down()
    print("".join(f"| {kind} | {count} | {sorted(seconds[kind])[count // 2]:.2f} s |\n" for kind, count in done.items()))
    print(f"| requests | {' | '.join(COLUMNS)} |")
    for kind, row in results.items():
        cells = (len(row[name]) if isinstance(row[name], list) else row[name] for name in COLUMNS)
        print(f"| {kind} | {' | '.join(map(str, cells))} |")
    if options.json:
        about = describe(CHECKOUT, docker.from_env())
        document = {"machine": about, "changes": done, "clients": CLIENTS, "requests": results}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 1 if load.misses else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.traffic", description=__doc__)
    parser.add_argument("--changes", type=int, default=100, metavar="N")
    parser.add_argument("--between", type=float, default=1.0, metavar="SECONDS", help="from one change to the next")
    parser.add_argument("--pause", type=float, default=1.0, metavar="FACTOR", help="of the clients between requests")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
