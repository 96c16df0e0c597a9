"""What a command prints: line shapes, the log's copy, progress, and readers that go away."""

from __future__ import annotations

import io
import os
import time

import pytest

from paas.console import PLAIN_PROGRESS_SECONDS, Console, harmless, size
from paas.errors import Cancelled


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def err() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(out: io.StringIO, err: io.StringIO) -> Console:
    return Console(out, err)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_the_shapes_of_lines(console: Console, out: io.StringIO, err: io.StringIO) -> None:
    console.step("Building")
    console.headline("Done\nreally")
    console.detail("one\n\ntwo")
    console.print("plain")
    console.print()
    console.json({"b": ["ü", 1], "a": None})
    assert out.getvalue() == (
        "-----> Building\n=====> Done\n=====> really\n       one\n       \n       two\nplain\n\n"
        '{"b":["ü",1],"a":null}\n'
    )
    assert err.getvalue() == ""


def test_warnings_go_to_standard_error(console: Console, out: io.StringIO, err: io.StringIO) -> None:
    console.warn("first\nsecond")
    assert (out.getvalue(), err.getvalue()) == ("", " !     first\n !     second\n")


def test_quiet_hides_headers_only(out: io.StringIO, err: io.StringIO) -> None:
    console = Console(out, err, quiet=True)
    console.header("hidden")
    console.step_header("hidden")
    console.headline("shown")
    console.warn("shown")
    assert (out.getvalue(), err.getvalue()) == ("=====> shown\n", " !     shown\n")


def test_the_log_gets_both_and_no_redrawn_lines(err: io.StringIO) -> None:
    out, log = Terminal(), io.BytesIO()
    console = Console(out, err)
    console.log = log
    console.step("ü")
    console.live("50 %")
    console.warn("w")
    console.print("\udcff")
    assert log.getvalue() == "-----> ü\n !     w\n?\n".encode()
    assert out.getvalue() == "-----> ü\n\r\x1b[K       50 %\r\x1b[K\udcff\n"


def test_columns_are_as_wide_as_their_widest_cell(console: Console, out: io.StringIO) -> None:
    console.table([("ID", "App", "What"), (1, "longer", ""), (100, "", "x")])
    assert out.getvalue() == "ID   App     What\n1    longer\n100          x\n"
    console.table([])
    assert out.getvalue().count("\n") == 3


def test_progress_in_a_pipe_is_a_line_now_and_then(console: Console, out: io.StringIO, clock: Clock) -> None:
    progress = console.progress("Pulling")
    progress.update("1 %")
    assert out.getvalue() == "", "what is quick says nothing"
    clock.now += PLAIN_PROGRESS_SECONDS
    progress.bytes(10_000_000, 20_000_000)
    progress.bytes(11_000_000)
    assert out.getvalue() == "       Pulling: 10.0 MB of 20.0 MB, 2.0 MB/s\n"
    clock.now += PLAIN_PROGRESS_SECONDS
    progress.bytes(12_000_000)
    assert out.getvalue().splitlines()[1:] == ["       Pulling: 12.0 MB, 1.2 MB/s"]
    assert progress.seconds() == 2 * PLAIN_PROGRESS_SECONDS


def test_progress_on_a_terminal_redraws_one_line(clock: Clock) -> None:
    out = Terminal()
    console = Console(out, io.StringIO())
    progress = console.progress("Loading")
    progress.update("1 %")
    progress.update("too soon")
    clock.now += 1
    progress.update("2 %")
    console.step("Done")
    assert out.getvalue() == "\r\x1b[K       Loading: 1 %\r\x1b[K       Loading: 2 %\r\x1b[K-----> Done\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_is_known_by_its_stream(terminal: bool) -> None:
    assert Console(Terminal() if terminal else io.StringIO(), io.StringIO()).is_terminal() is terminal


def test_a_reader_that_goes_away_cancels_once(err: io.StringIO) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    log = io.BytesIO()
    out = os.fdopen(write_end, "w")
    console = Console(out, err)
    console.log = log
    with pytest.raises(Cancelled, match="nobody reads the output any more"):
        console.step("first")
    console.step("second")
    console.raw(b"third")
    with pytest.raises(BrokenPipeError):
        out.close()
    assert console.deaf
    assert log.getvalue() == b"-----> first\n-----> second\n"


def test_raw_bytes_that_nobody_reads_cancel(err: io.StringIO) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as out:
        console = Console(out, err)
        with pytest.raises(Cancelled):
            console.raw(b"x")
        console.raw(b"y")


def test_raw_bytes_come_after_what_was_printed_and_unchanged() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reader, os.fdopen(write_end, "w") as out:
        console = Console(out, out)
        out.write("before ")
        console.raw(b"\xff\x00raw\n")
        out.close()
        assert reader.read() == b"before \xff\x00raw\n"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1536, "1.5 kB"), (2_500_000, "2.5 MB"), (3e9, "3.0 GB"), (4e12, "4.0 TB"), (5e15, "5000.0 TB")],
)  # fmt: skip
def test_sizes_are_as_docker_prints_them(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("plain\tünï", "plain\tünï"),
        ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
        ("a\x1b]0;title\x07b\x1b]52;c;ZXZpbA==\x1b\\c", "abc"),
        ("a\x1b[2J\x1b[1;1Hb\x1b[?1049hc", "abc"),
        ("a\x1bPq#0\x1b\\b\x1b_x\x1b\\c\x1b^y\x1b\\d", "abcd"),
        ("a\x1bcb\x1b(0c\x1b", "abc"),
        ("one\r\ntwo\n\r", "one\r\ntwo\n\r"),
        ("a\rb\x08c\x00d\x7fe\x9bf", "abcdef"),
    ],
)
def test_what_comes_from_others_moves_no_terminal(text: str, left: str) -> None:
    assert harmless(text) == left
    assert harmless(text.encode()) == left.encode()
    assert harmless(b"\xff\x1b[2J\xfe") == b"\xff\xfe"
