"""Transcripts: sessions as text files, run for real and compared. tests/transcripts/README.md has the format.

`python -m support.transcript FILE…` in tests/ plays files and prints what comes back, which helps to write one.
"""

from __future__ import annotations

import difflib
import os
import re
import selectors
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.doors import Door, embedded
from support.images import IMAGES
from support.repo import Repo
from support.server import running_paas

PROGRAMS = ("ssh", "git", "docker", "curl", "cat", "head", "ln", "printf", "tar")
STEP_SECONDS = 300
CHUNK_BYTES = 65536
_FILE = re.compile(r"-- (\S+) --")
_PROGRESS = re.compile(r"(?:remote: )? {7}[A-Z][^:]*: .*(?: s|B/s)")
_EXIT = re.compile(r"\[exit (\d+)\]")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Command:
    """A line that is typed, and the lines that come back."""

    line: int
    text: str
    expected: list[str] = field(default_factory=list)
    code: int = 0


@dataclass(frozen=True)
class Output:
    """The lines that came back: as they arrived, and those of each stream. Between the two there is no order that lasts."""

    shown: list[str]
    out: list[str]
    err: list[str]

    def without_progress(self) -> Output:
        """Without the lines that tell of progress, which only a slow machine shows."""
        return Output(*(without_progress(lines) for lines in (self.shown, self.out, self.err)))


@dataclass
class File:
    """A file that is written into the work tree before the next command."""

    name: str
    lines: list[str] = field(default_factory=list)


def parse(text: str) -> list[Command | File]:
    """The steps of a transcript. Raises ValueError for text before the first step."""
    steps: list[Command | File] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            continue
        if line.startswith("$ "):
            steps.append(Command(number, line[2:]))
        elif named := _FILE.fullmatch(line):
            steps.append(File(named[1]))
        elif not steps:
            if line:
                raise ValueError(f"line {number} stands before the first command")
        elif isinstance(step := steps[-1], File):
            step.lines.append(line)
        elif ended := _EXIT.fullmatch(line):
            step.code = int(ended[1])
        else:
            step.expected.append(line)
    for step in steps:
        _drop_blank_end(step.lines if isinstance(step, File) else step.expected)
    return steps


def play(path: Path, door: Door, directory: Path) -> None:
    """Run a transcript through a door, in `directory`. Raises AssertionError with a diff."""
    __tracebackhide__ = True
    for step, code, actual in run_steps(parse(path.read_text()), door, directory):
        tries = (actual, actual.without_progress())
        if code != step.code or not any(matches(step.expected, each.out, each.err) for each in tries):
            expected = [*step.expected, *_exit_line(step.code)]
            diff = difflib.unified_diff(
                expected, [*actual.shown, *_exit_line(code)], "expected", "came back", lineterm="", n=100
            )
            raise AssertionError(f"{path.name}:{step.line}: $ {step.text}\n" + "\n".join(diff))


def run_steps(
    steps: list[Command | File], door: Door, directory: Path
) -> Iterator[tuple[Command, int, Output]]:
    """Each command as it ends, with its exit code and what came back."""
    repo = Repo(directory / "work")
    for step in steps:
        if isinstance(step, File):
            repo.write({step.name: "".join(f"{line}\n" for line in step.lines)})
        else:
            yield step, *_run(step.text, door, repo)


def matches(expected: list[str], out: list[str], err: Sequence[str] = ()) -> bool:
    """Whether lines came back as expected: each stream's in its order, whichever came between them. ``...`` stands for any
    lines, ``[...]`` for anything in a line."""
    # How many lines of each may have been used so far.
    states = {(0, 0)}
    for line in expected:
        if not states:
            return False
        if line == "...":
            states = {
                (used, other)
                for used in range(min(a for a, _ in states), len(out) + 1)
                for other in range(min(b for a, b in states if a <= used), len(err) + 1)
            }
            continue
        pattern = re.compile(".*?".join(map(re.escape, line.split("[...]"))))
        states = {
            *((a + 1, b) for a, b in states if a < len(out) and pattern.fullmatch(out[a])),
            *((a, b + 1) for a, b in states if b < len(err) and pattern.fullmatch(err[b])),
        }
    return (len(out), len(err)) in states


def without_progress(lines: list[str]) -> list[str]:
    """Without the lines that tell of progress, which only a slow machine shows."""
    return [line for line in lines if not _PROGRESS.fullmatch(line)]


def _run(text: str, door: Door, repo: Repo) -> tuple[int, Output]:
    """Exit code and output of the last command of a pipe."""
    words = shlex.split(text)
    if words[0] == "curl":
        try:
            answer = door.paas.http_get(*words[1:])
        except OSError as error:
            return 7, _only(str(error))
        refused = f"HTTP {answer.status}\n" if answer.status >= 400 else ""
        return (22 if refused else 0), _only(refused + answer.body)
    if words[0] == "keygen":
        repo.write({f"{words[1]}.pub": door.add_key(words[1])})
        return 0, _only("")
    if words[0] == "cp":
        repo.copy(IMAGES / words[1])
        return 0, _only("")
    commands, stdin_name = _split(words)
    stdin = (repo.path / stdin_name).open("rb") if stdin_name else subprocess.DEVNULL
    processes: list[subprocess.Popen[bytes]] = []
    for position, command in enumerate(commands):
        if command[0] not in PROGRAMS:
            raise ValueError(f"a transcript can't run {command[0]}; it can run {', '.join(PROGRAMS)}")
        if command[0] == "ssh":
            command = ["ssh", "-F", str(door.ssh_config), *command[1:]]
        last = position == len(commands) - 1
        processes.append(
            subprocess.Popen(
                command,
                cwd=repo.path,
                env=door.git_env(),
                stdin=processes[-1].stdout if processes else stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if last else subprocess.DEVNULL,
            )
        )
        # Only the next command may hold the pipe, or the one before would never see it close.
        if len(processes) > 1 and (pipe := processes[-2].stdout):
            pipe.close()
    output = _read(processes[-1])
    for process in processes[:-1]:
        process.wait(STEP_SECONDS)
    if not isinstance(stdin, int):
        stdin.close()
    return processes[-1].returncode, output


def _only(text: str) -> Output:
    return Output(_lines(text), _lines(text), [])


def _read(process: subprocess.Popen[bytes]) -> Output:
    """Both streams of a process, to its end."""
    with process, selectors.DefaultSelector() as selector:
        parts: dict[object, list[bytes]] = {}
        shown = b""
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            selector.register(stream, selectors.EVENT_READ)
            parts[stream] = []
        deadline = time.monotonic() + STEP_SECONDS
        while selector.get_map():
            if time.monotonic() > deadline:
                process.kill()
                raise AssertionError(f"it does not end:\n{shown.decode(errors='replace')}")
            for key, _ in selector.select(1):
                data = os.read(key.fd, CHUNK_BYTES)
                parts[key.fileobj].append(data)
                shown += data
                if not data:
                    selector.unregister(key.fileobj)
    texts = (shown, *(b"".join(each) for each in parts.values()))
    return Output(*(_lines(text.decode(errors="replace")) for text in texts))


def _split(words: list[str]) -> tuple[list[list[str]], str | None]:
    """The commands of a pipe, and the file after ``<``."""
    stdin = None
    if "<" in words:
        at = words.index("<")
        stdin = words[at + 1]
        words = words[:at] + words[at + 2 :]
    commands: list[list[str]] = [[]]
    for word in words:
        if word == "|":
            commands.append([])
        else:
            commands[-1].append(word)
    return commands, stdin


def _lines(output: str) -> list[str]:
    """Lines as a terminal would show them in the end: without colours, redrawn parts and trailing blanks."""
    text = _ESCAPES.sub("", output.replace("\r\n", "\n"))
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.splitlines()]
    return _drop_blank_end(lines)


def _drop_blank_end(lines: list[str]) -> list[str]:
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _exit_line(code: int) -> list[str]:
    return [f"[exit {code}]"] if code else []


def _show(paths: list[Path]) -> None:
    with running_paas() as paas, tempfile.TemporaryDirectory() as directory:
        for path in paths:
            steps = parse(path.read_text())
            for step, code, output in run_steps(steps, embedded(paas), Path(directory) / path.stem):
                print("\n".join([f"$ {step.text}", *output.shown, *_exit_line(code)]), flush=True)


if __name__ == "__main__":
    _show([Path(name) for name in sys.argv[1:]])
