"""Command lines and requests as nobody would type them, against a real dispatcher: none is answered with a traceback, starts
what its sender chose, hangs, or leaves anything. faults.fuzz sends many more of them, by hand."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.fuzz_target import Target, fuzz_target
from support.fuzz_words import MEGABYTE, Line, Lines
from support.processes import descendants

# Shrinking would send hundreds more; the line that fails is told.
BRIEFLY = settings(
    deadline=None, database=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
ENOUGH_MEMORY_KB = 300_000


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with fuzz_target() as started:
        yield started
        assert started.faults == []


@pytest.fixture(autouse=True)
def no_faults(target: Target) -> Iterator[None]:
    target.prepare()
    yield
    faults, target.faults = target.faults, []
    assert faults == []


@settings(BRIEFLY, max_examples=150)
@given(chance=st.randoms(use_true_random=False))
def test_any_line_is_answered(target: Target, chance: Random) -> None:
    target.check(Lines(chance).line())


@settings(BRIEFLY, max_examples=80)
@given(chance=st.randoms(use_true_random=False))
def test_any_bytes_are_answered_or_hung_up_on(target: Target, chance: Random) -> None:
    target.garbage(*Lines(chance).garbage())


@pytest.mark.parametrize("letter", ["a", "\\", "'", '"', "\n", "é"])
@pytest.mark.parametrize("command", ["", "config:set web A=", "git-upload-pack "])
def test_a_megabyte_is_answered(target: Target, command: str, letter: str) -> None:
    line = Line("ssh", "admin", [(command + letter * (MEGABYTE // len(letter.encode()))).encode()])
    assert target.check(line).code in (0, 1, 2, 20)


def test_the_memory_of_the_server_is_bounded(target: Target) -> None:
    assert target.paas.process
    pages = 0
    for pid in descendants(target.paas.process.pid):
        # It may have ended meanwhile.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pages = max(pages, int(Path(f"/proc/{pid}/statm").read_text().split()[1]))
    assert pages
    assert pages * os.sysconf("SC_PAGE_SIZE") // 1024 < ENOUGH_MEMORY_KB
