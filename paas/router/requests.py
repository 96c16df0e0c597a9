"""Requests as HAProxy tells of them: the newest ones, kept in its memory, and its counters since it started."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass

from paas.router.difference import slot_of

LINE = re.compile(
    r"(?P<at>\d+\.\d{3}) (?P<client>\S+) (?P<backend>slot\S+) (?P<server>\S+) (?P<status>-?\d+) (?P<bytes>\d+)"
    r" (?P<times>-?\d+/-?\d+/-?\d+/-?\d+/-?\d+) (?P<ending>\S+) \"(?P<host>.*?)\" \"(?P<line>.*?)\"?$"
)
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Request:
    """One answered request. `at` in epoch seconds; `queued_ms`, `response_ms` (until the first byte of the answer) and
    `total_ms` in milliseconds, -1 where it did not come so far; `ending` is HAProxy's code, ``--`` for a normal one."""

    at: float
    client: str
    slot: int
    server: str
    status: int
    bytes: int
    queued_ms: int
    response_ms: int
    total_ms: int
    ending: str
    host: str
    line: str

    @classmethod
    def parse(cls, text: str) -> Request | None:
        """Read a line of the log; None for what is no request to an app."""
        match = LINE.fullmatch(text)
        if match is None:
            return None
        _, queued, connected, response, total = (int(item) for item in match["times"].split("/"))
        return cls(
            at=float(match["at"]),
            client=match["client"],
            slot=slot_of(match["backend"]),
            server=match["server"],
            status=int(match["status"]),
            bytes=int(match["bytes"]),
            queued_ms=queued + max(connected, 0) if queued >= 0 else -1,
            response_ms=response,
            total_ms=total,
            ending=match["ending"][:2],
            host=match["host"],
            line=match["line"],
        )


@dataclass(frozen=True)
class Traffic:
    """What was asked of one app since HAProxy's worker started: answers by first digit of their status, requests in
    progress, and milliseconds at percentiles of the newest `sample` requests."""

    answers: dict[int, int]
    active: int
    bytes_in: int
    bytes_out: int
    retries: int
    sample: int = 0
    percentiles: tuple[int, ...] = ()

    @property
    def requests(self) -> int:
        return sum(self.answers.values())

    @property
    def errors(self) -> int:
        """Answers of 500 and above: the app's, and the router's when no process answered."""
        return self.answers.get(5, 0)


def read_requests(text: str) -> list[Request]:
    """Parse `show events`, oldest first."""
    return [found for line in text.splitlines() if (found := Request.parse(line)) is not None]


def read_traffic(stat: str, newest: Iterable[Request]) -> dict[int, Traffic]:
    """Parse `show stat` of backends into traffic by slot; `newest` give the percentiles."""
    times: dict[int, list[int]] = {}
    for request in newest:
        times.setdefault(request.slot, []).append(request.total_ms)
    found: dict[int, Traffic] = {}
    for row in csv.DictReader(stat.removeprefix("# ").splitlines()):
        name = row["pxname"]
        if not name.startswith("slot") or row["svname"] != "BACKEND":
            continue
        slot = slot_of(name)
        answers = {digit: int(row[f"hrsp_{digit}xx"] or 0) for digit in range(1, 6)}
        before = found.get(slot)
        sample = sorted(times.get(slot, ()))
        found[slot] = Traffic(
            answers={digit: n + (before.answers[digit] if before else 0) for digit, n in answers.items()},
            active=int(row["scur"] or 0) + (before.active if before else 0),
            bytes_in=int(row["bin"] or 0) + (before.bytes_in if before else 0),
            bytes_out=int(row["bout"] or 0) + (before.bytes_out if before else 0),
            retries=int(row["wretr"] or 0) + (before.retries if before else 0),
            sample=len(sample),
            percentiles=tuple(_at(sample, share) for share in PERCENTILES) if sample else (),
        )
    return found


def _at(values: list[int], share: int) -> int:
    """The value below or at which `share` percent of the sorted values are."""
    return values[max(0, -(-len(values) * share // 100) - 1)]
