"""Scenarios, their rows, and the loop that measures ours and the floor in turn."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from bench.site import Site

Unit = Literal["ms", "us", "MB/s", "MB", "req/s"]
Samples = Mapping[str, float]

PLACES = {"MB": 1}
SCALES = {"ms": 1e3, "us": 1e6}


@dataclass(frozen=True)
class Goal:
    """What ours may be: at most (or `at_least`) `value`, as a ratio to the floor or, with `absolute`, by itself."""

    value: float
    at_least: bool = False
    absolute: bool = False

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.value:g}{'' if self.absolute else 'x'}"

    def met(self, number: float) -> bool:
        return number >= self.value if self.at_least else number <= self.value


@dataclass(frozen=True)
class Row:
    """One line of the table: the numbers that a scenario calls `name`; `floor` None when there is none."""

    name: str
    what: str
    floor: str | None
    goal: Goal | None = None
    unit: Unit = "ms"


@dataclass(frozen=True)
class Program:
    """What a scenario needs beyond what the tests do, and Debian's package of it."""

    name: str
    package: str

    @property
    def path(self) -> str | None:
        return shutil.which(self.name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


class Scenario(ABC):
    """One thing that is done over and over, by paas and without it.

    `ours` and `floor` do it once and return the numbers of their rows by name: seconds for rows in ms and us. What they
    have to prepare and to clear away again stays outside of what they time. `rounds` multiplies the rounds of what
    is quick. It is left out where one of its `programs` is missing. A method `peer` does the same with another platform's commands, where that makes sense.
    """

    rows: ClassVar[tuple[Row, ...]]
    rounds: ClassVar[int] = 1
    programs: ClassVar[tuple[Program, ...]] = ()

    def __init__(self, site: Site) -> None:
        self.site = site

    @abstractmethod
    def ours(self) -> Samples: ...

    @abstractmethod
    def floor(self) -> Samples: ...


@dataclass(frozen=True)
class Spread:
    """Samples of one number: the median and how far they were apart."""

    median: float
    least: float
    most: float
    samples: tuple[float, ...]

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        return cls(statistics.median(samples), min(samples), max(samples), tuple(samples))

    def text(self, unit: Unit) -> str:
        places = PLACES.get(unit, 0)
        return f"{self.median:.{places}f} ({self.least:.{places}f}-{self.most:.{places}f})"

    def json(self) -> dict[str, object]:
        return {
            "median": round(self.median, 3),
            "min": round(self.least, 3),
            "max": round(self.most, 3),
            "samples": [round(sample, 3) for sample in self.samples],
        }


@dataclass
class Measured:
    """A row with its numbers, in its unit."""

    row: Row
    sides: dict[str, Spread] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Ours to the floor, of the medians."""
        return self.sides["ours"].median / self.sides["floor"].median if "floor" in self.sides else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met, None without one."""
        goal = self.row.goal
        number = self.sides["ours"].median if goal and goal.absolute else self.ratio
        return goal.met(number) if goal and number is not None else None

    def cells(self) -> list[str]:
        row, ratio = self.row, self.ratio
        texts = {side: spread.text(row.unit) for side, spread in self.sides.items()}
        return [
            row.name,
            row.what,
            row.floor or "",
            texts.get("floor", ""),
            texts["ours"],
            texts.get("peer", ""),
            row.unit,
            f"{ratio:.2f}x" if ratio is not None else "",
            str(row.goal or ""),
            {True: "yes", False: "NO", None: ""}[self.met],
        ]

    def json(self) -> dict[str, object]:
        return {
            "name": self.row.name,
            "what": self.row.what,
            "floor_is": self.row.floor,
            "unit": self.row.unit,
            **{side: spread.json() for side, spread in self.sides.items()},
            "ratio": round(self.ratio, 4) if self.ratio is not None else None,
            "goal": str(self.row.goal) if self.row.goal else None,
            "met": self.met,
        }


TITLES = ("row", "what", "floor", "floor takes", "ours", "peer", "unit", "ratio", "goal", "met?")


def measure(scenario: Scenario, rounds: int, with_peer: bool, wanted: Sequence[str]) -> Iterator[Measured]:
    """Do it once to warm up, then `rounds` times, ours and the floor (and the peer) in turn."""
    rows = [row for row in scenario.rows if not wanted or row.name in wanted]
    sides = {"ours": scenario.ours}
    if any(row.floor for row in rows):
        sides["floor"] = scenario.floor
    if with_peer and (peer := getattr(scenario, "peer", None)):
        sides["peer"] = peer
    numbers: dict[tuple[str, str], list[float]] = {}
    total = rounds * scenario.rounds
    for turn in range(total + 1):
        for side, do in sides.items():
            note(
                f"{'/'.join(row.name for row in rows)}: {f'round {turn} of {total}' if turn else 'warming up'}, {side}"
            )
            # What the one before has left to be written must not be in the way.
            os.sync()
            samples = do()
            if turn:
                for name, number in samples.items():
                    numbers.setdefault((name, side), []).append(number)
    for row in rows:
        scale = SCALES.get(row.unit, 1)
        found = {side: numbers[row.name, side] for side in sides if (row.name, side) in numbers}
        if not row.floor:
            found.pop("floor", None)
        yield Measured(row, {side: Spread.of([n * scale for n in each]) for side, each in found.items()})
    note("")


def note(text: str) -> None:
    """Show what goes on, on a terminal: one line that is written over."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text[:100]}")
        sys.stderr.flush()


def table(measured: Sequence[Measured]) -> str:
    """All of it as a Markdown table; columns that nothing is in are left out."""
    lines = [list(TITLES), *(each.cells() for each in measured)]
    columns = [column for column in zip(*lines, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in zip(*columns, strict=True)
    ]
    texts.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(texts)
