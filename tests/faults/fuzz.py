"""Anything anybody could type, sent to a real dispatcher: `python -P -m faults.fuzz N [--seed S]` in tests/, by hand, as root.

Prints how many lines were sent and how fast, their exit codes, the kinds of messages, and what should not be; ends with 1
where there is any of that.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter

from support.fuzz_target import Target, fuzz_target
from support.fuzz_words import Lines

RESTORE_EVERY = 250
NEW_SERVER_EVERY = 2500
GARBAGE_SHARE = 0.05


def feed(target: Target, chance: random.Random, count: int) -> None:
    """Send `count` lines."""
    lines = Lines(chance)
    for number in range(count):
        if number % RESTORE_EVERY == RESTORE_EVERY - 1:
            target.prepare()
        if chance.random() < GARBAGE_SHARE:
            target.garbage(*lines.garbage())
        else:
            target.check(lines.line())


def main(count: int, seed: int) -> int:
    """Run and report."""
    codes: Counter[str] = Counter()
    messages: Counter[str] = Counter()
    faults: list[str] = []
    slowest: list[tuple[float, str]] = []
    chance = random.Random(seed)  # noqa: S311 - the same seed, the same lines
    started = time.monotonic()
    done = 0
    while done < count:
        portion = min(NEW_SERVER_EVERY, count - done)
        with fuzz_target() as target:
            target.tell = lambda fault: print(f"FAULT {fault}", flush=True)
            feed(target, chance, portion)
        done += portion
        faults += target.faults
        codes += target.codes
        messages += target.messages
        slowest = sorted([*slowest, *target.slowest], reverse=True)[:5]
        rate = done / (time.monotonic() - started)
        print(f"{done} lines, {rate:.0f} a second, {len(faults)} faults", flush=True)
    print(f"exit codes: {dict(codes.most_common())}")
    print(f"{len(messages)} kinds of messages; the most frequent:")
    for text, number in messages.most_common(30):
        print(f"  {number:6} {text}")
    for seconds, text in slowest:
        print(f"slow: {seconds:.2f} s {text}")
    return 1 if faults else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int, nargs="?", default=5000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(main(given.count, given.seed))
