"""The same commands in an installation of 1 app and in one of many, in turn.

    PYTHONPATH=tests:. .venv/bin/python -P -m bench.many

Each has one app that runs; the others are rows that lead nowhere (`neighbours`). What prints every app is in the table
without a goal. Needs what tests/run installs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import docker
from support import images
from support.server import Paas, running_paas
from support.state import containers

from bench import neighbours

GOAL = 1.2
SETTLE_SECONDS = 60
APP = "web"
READS = (
    ("apps:list",),
    ("apps:list", "--format", "json"),
    ("apps:exists", APP),
    ("apps:report", APP),
    ("ps:report", APP),
    ("ps:report", APP, "--running"),
    ("ps:report", APP, "--format", "json"),
    ("domains:report", APP),
    ("config:get", APP, "GREETING"),
    ("operations", APP),
    ("logs", APP),
)
EVERY_APP = (("apps:report",), ("ps:report",), ("domains:report",), ("ports:report",), ("resource:report",))


class Place:
    """One installation and the images that its app is deployed from in turn."""

    def __init__(self, paas: Paas, apps: int, engine: docker.DockerClient) -> None:
        self.paas, self.engine = paas, engine
        self.images = itertools.cycle((images.WEB.tag, images.STATIC.tag))
        self.numbers = itertools.count()
        paas.command("apps:create", APP).ok()
        paas.command("checks:set", APP, "wait-to-retire", "1").ok()
        neighbours.join(paas.env, apps - 1)
        for _ in range(2):
            self.deploy()
        self.set()

    def deploy(self) -> float:
        """An image other than the one that runs."""
        return self._settled("git:from-image", APP, next(self.images))

    def set(self) -> float:
        """A value that was never set before, which restarts the app."""
        return self._settled("config:set", APP, f"GREETING={next(self.numbers)}")

    def read(self, *words: str) -> float:
        started = time.perf_counter()
        self.paas.command(*words).ok()
        return time.perf_counter() - started

    def _settled(self, *words: str) -> float:
        """Seconds of a change, without what ends behind it."""
        taken = self.read(*words)
        deadline = time.monotonic() + SETTLE_SECONDS
        while len(containers(self.paas, self.engine, APP)) > 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        return taken


def main() -> int:
    options = _options()
    images.ensure([images.WEB, images.STATIC])
    rows: list[tuple[str, float, float, float | None]] = []
    with ExitStack() as stack:
        engine = docker.from_env()
        stack.callback(engine.close)
        small, big = (
            Place(stack.enter_context(running_paas()), apps, engine) for apps in (1, options.apps)
        )

        def row(name: str, do: Callable[[Place], float], rounds: int, goal: float | None) -> None:
            taken = [(do(small), do(big)) for _ in range(rounds)]
            one, many = (statistics.median(side) for side in zip(*taken, strict=True))
            rows.append((name, one, many, goal))
            print(f"{name}: {one:.4f} {many:.4f}", file=sys.stderr, flush=True)

        for words in READS:
            row(" ".join(words), lambda place, words=words: place.read(*words), options.rounds * 4, GOAL)  # type: ignore[misc]
        row("config:set with restart", Place.set, options.rounds, GOAL)
        row("git:from-image", Place.deploy, options.rounds, GOAL)
        for words in EVERY_APP:
            row(" ".join(words) + ", every app", lambda place, words=words: place.read(*words), options.rounds, None)  # type: ignore[misc]
    print(f"| command | 1 app, ms | {options.apps} apps, ms | ratio | goal |\n|---|---|---|---|---|")
    for name, one, many, goal in rows:
        print(f"| {name} | {1e3 * one:.0f} | {1e3 * many:.0f} | {many / one:.2f}x | {f'<= {goal}x' if goal else ''} |")
    if options.json:
        fields = ("name", "one", "many", "goal")
        options.json.write_text(json.dumps([dict(zip(fields, each, strict=True)) for each in rows], indent=2) + "\n")
    return 0 if all(many <= one * goal for _, one, many, goal in rows if goal) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.many", description=__doc__)
    parser.add_argument("--apps", type=int, default=neighbours.APPS, metavar="N")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="of changes; four times as many of reads")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
