"""Every transcript in this directory, through both front doors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import doors
from support.doors import Door
from support.server import running_paas
from support.transcript import matches, parse, play, without_progress

TRANSCRIPTS = sorted(Path(__file__).parent.rglob("*.txt"))


# A server for each door, so that a transcript finds none of its apps made by its twin.
@pytest.fixture(scope="module", params=doors.NAMES)
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    with running_paas() as server:
        if request.param == "embedded":
            yield doors.embedded(server)
        else:
            with doors.openssh(server) as door:
                yield door


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
@pytest.mark.usefixtures("image_names")
def test_transcript(path: Path, door: Door, tmp_path: Path) -> None:
    play(path, door, tmp_path)


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        (["a", "b"], ["a", "b"], True),
        (["a"], ["a", "b"], False),
        (["a", "...", "d"], ["a", "b", "c", "d"], True),
        (["...", "a"], ["a"], True),
        (["...", "a"], ["a", "b"], False),
        (["id [...] done"], ["id 42 done"], True),
        (["id [...]"], ["no"], False),
        (["a.c"], ["abc"], False),
        ([], [], True),
        ([], ["unexpected"], False),
    ],
)
def test_wildcards(expected: list[str], actual: list[str], same: bool) -> None:
    assert matches(expected, actual) is same


@pytest.mark.parametrize(
    ("expected", "out", "err", "same"),
    [
        (["a", "warning", "b"], ["a", "b"], ["warning"], True),
        (["warning", "a", "b"], ["a", "b"], ["warning"], True),
        (["b", "warning", "a"], ["a", "b"], ["warning"], False),
        (["a", "b"], ["a", "b"], ["warning"], False),
        (["a", "...", "c"], ["a", "c"], ["warning", "another"], True),
        (["a", "...", "c"], ["a", "c", "d"], ["warning"], False),
        (["...", "second", "..."], ["a"], ["first", "second"], True),
        (["second", "first"], [], ["first", "second"], False),
    ],
)
def test_each_stream_keeps_its_order(expected: list[str], out: list[str], err: list[str], same: bool) -> None:
    assert matches(expected, out, err) is same


def test_lines_of_progress_are_no_part_of_a_session() -> None:
    slow = ["-----> Deploying", "       Waiting for health checks: 0 of 2 passed after 5 s", "       GREETING: hello"]
    assert without_progress(slow) == [slow[0], slow[2]]
    assert without_progress(["remote:        Loading image: 1.5 MB of 3.0 MB, 0.5 MB/s"]) == []


def test_text_before_the_first_command_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2"):
        parse("# about\nstray\n$ ssh host version\n")
