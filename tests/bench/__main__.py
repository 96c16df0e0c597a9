"""`tests/bench/run`: measure, print the table, write it as JSON."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import machine, measure, rows
from bench.site import Failed, Site, open_site

CHECKOUT = Path(__file__).resolve().parents[2]
LEAST_ROUNDS = 5


def main() -> int:
    options = _options()
    if os.geteuid() != 0:
        sys.stderr.write(" !     tests/bench/run needs root: sudo tests/bench/run\n")
        return 1
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        with open_site(options.peer) as site:
            try:
                _run(site, options)
            finally:
                # From here on only cleaning up: a second Ctrl-C must not cut it short.
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                measure.note("")
    except KeyboardInterrupt:
        sys.stderr.write(" !     Interrupted. Nothing was left behind\n")
        return 130
    except (Failed, AssertionError, RuntimeError) as error:
        sys.stderr.write(f" !     {error}\n")
        return 1
    return 0


def _run(site: Site, options: argparse.Namespace) -> None:
    about = machine.describe(CHECKOUT, site.engine)
    print(machine.headline(about), flush=True)
    print(
        f"Medians of {options.rounds} rounds or more (least-most), ours and the floor in turn.\n", flush=True
    )
    measured: list[measure.Measured] = []
    try:
        for scenario in rows.ALL:
            if not options.only or any(row.name in options.only for row in scenario.rows):
                missing = [each.package for each in scenario.programs if each.path is None]
                if missing:
                    names = ", ".join(row.name for row in scenario.rows)
                    sys.stderr.write(
                        f" !     Left out: {names}. It needs apt-get install {' '.join(missing)}\n"
                    )
                    continue
                measured += measure.measure(scenario(site), options.rounds, bool(options.peer), options.only)
    finally:
        # What was measured until something failed is still of use.
        if measured:
            print(measure.table(measured), flush=True)
        if options.json:
            _write(options.json, about, options, measured)


def _write(
    path: Path, about: dict[str, object], options: argparse.Namespace, measured: Sequence[measure.Measured]
) -> None:
    document = {
        "machine": about,
        "rounds": options.rounds,
        "peer": options.peer,
        "rows": [each.json() for each in measured],
    }
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _rounds(text: str) -> int:
    number = int(text)
    if number < LEAST_ROUNDS:
        sys.stderr.write(f" !     A median of {number} rounds says little; the table needs {LEAST_ROUNDS}\n")
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _options() -> argparse.Namespace:
    names = [row.name for scenario in rows.ALL for row in scenario.rows]
    parser = argparse.ArgumentParser(
        prog="tests/bench/run", description="Measure paas beside the tools it stands on."
    )
    parser.add_argument(
        "--rounds", type=_rounds, default=LEAST_ROUNDS, metavar="N", help="how often (default: 5)"
    )
    parser.add_argument("--only", nargs="+", default=[], choices=names, metavar="ROW", help=", ".join(names))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers and the machine to FILE")
    parser.add_argument(
        "--peer", metavar="COMMAND", help='another platform beside it: --peer "ssh dokku@127.0.0.1"'
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
