"""Stub and dispatcher with real processes; only the commands are made up."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from paas import interrupts
from paas.errors import Cancelled
from paas.gateway import forking, handover, protocol
from paas.gateway.dispatcher import AlreadyRunning, Dispatcher, listen
from paas.model.caller import Caller
from paas.settings import Settings

STUB = [sys.executable, "-IS", handover.PROGRAM]
WAIT_SECONDS = 20.0


def fake(words: list[str], caller: Caller) -> int:
    """Commands for tests: ``exit N``, ``echo …``, ``cat``, ``who``, ``sleep FILE``, ``pid``, ``crash``, ``extra``."""
    name, *rest = words
    if name == "exit":
        return int(rest[0])
    if name == "echo":
        os.write(1, b"\0".join(map(os.fsencode, rest)))
    elif name == "cat":
        while data := os.read(0, 1 << 16):
            os.write(1, data)
    elif name == "who":
        print(caller.name, caller.door, caller.key_id, sorted(caller.environment), Path.cwd())
    elif name == "sleep":
        try:
            print(os.getpid(), flush=True)
            time.sleep(WAIT_SECONDS)
        except Cancelled as cancelled:
            Path(rest[0]).write_text(cancelled.reason)
            raise
        Path(rest[0]).write_text("slept")
    elif name == "pause":
        print(os.getpid(), flush=True)
        time.sleep(float(rest[0]))
        Path(rest[1]).write_text("done")
    elif name == "crash":
        raise RuntimeError("secret")
    elif name == "help":
        print("help")
    elif name == "git-hook":
        os.write(caller.descriptors[0], b"through the extra descriptor")
        print(caller.environment["GIT_PUSH_OPTION_0"])
    return 0


def until(question: Callable[[], Any]) -> Any:
    """The first true answer, within WAIT_SECONDS."""
    end = time.monotonic() + WAIT_SECONDS
    while not (answer := question()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return answer


def start(settings: Settings, rehearse: Callable[[], None] = lambda: None) -> int:
    """A dispatcher for `settings` in a process of its own; its pid."""
    listener = listen(settings)
    pid = os.fork()
    if pid == 0:
        Dispatcher(settings, fake, {7: "anna"}.get, rehearse=rehearse).run(listener, lambda: None)
        os._exit(0)
    listener.close()
    return pid


def stop(pid: int, number: int = signal.SIGTERM) -> None:
    os.kill(pid, number)
    os.waitpid(pid, 0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment({"PAAS_ROOT": str(tmp_path / "root")})


@pytest.fixture
def server(settings: Settings) -> Iterator[int]:
    pid = start(settings)
    yield pid
    try:
        stop(pid)
    except (ProcessLookupError, ChildProcessError):
        return


def environment(settings: Settings, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PAAS_ROOT": str(settings.root), **more}


def paas(
    settings: Settings, *words: str | bytes, stdin: bytes = b"", **more: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*STUB, *words],
        input=stdin,
        capture_output=True,
        env=environment(settings, **more),
        timeout=WAIT_SECONDS * 3,
    )


def started(settings: Settings, *words: str) -> tuple[subprocess.Popen[bytes], int]:
    """A running command: the stub's process and the command's pid, which it printed."""
    process = subprocess.Popen(
        [*STUB, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(settings)
    )
    assert process.stdout
    return process, int(process.stdout.readline())


@pytest.mark.usefixtures("server")
class TestDispatcher:
    def test_exit_codes(self, settings: Settings) -> None:
        for code in (0, 1, 20, 255):
            assert paas(settings, "exit", str(code)).returncode == code

    def test_many_at_once(self, settings: Settings) -> None:
        with ThreadPoolExecutor(40) as pool:
            results = list(pool.map(lambda number: paas(settings, "echo", str(number)), range(200)))
        assert [result.stdout for result in results] == [b"%d" % number for number in range(200)]
        assert {result.returncode for result in results} == {0}

    def test_binary_input_and_output(self, settings: Settings) -> None:
        data = os.urandom(3 << 20) + b"\r\n\0\xff"
        assert paas(settings, "cat", stdin=data).stdout == data

    def test_words_of_any_bytes(self, settings: Settings) -> None:
        words = [b"\xff\xfe", "ü".encode(), b"", b"a\nb", b"7:x"]
        assert paas(settings, "echo", *words).stdout == b"\0".join(words)

    def test_a_megabyte_of_words(self, settings: Settings) -> None:
        words = ["x" * 100_000] * 10
        assert len(paas(settings, "echo", *words).stdout) == 1_000_009
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(settings.socket_path))
            handover.send(
                connection, handover.encode("host", b"", b"/", {}, [b"exit", b"3" + b" " * (1 << 20)]), [0, 1, 2]
            )
            assert connection.recv(10) == b"\x03"

    def test_host_caller(self, settings: Settings) -> None:
        said = paas(
            settings, "who", TERM="xterm", COLUMNS="x;y", SECRET="1", GIT_PUSH_OPTION_0="x"
        ).stdout.decode()
        assert said.split(" ", 3)[1:3] == ["host", "None"]
        assert said.endswith(f"['TERM'] {Path.cwd()}\n")

    def test_ssh_caller_and_shell_words(self, settings: Settings) -> None:
        result = paas(settings, "--ssh", "7", SSH_ORIGINAL_COMMAND="who 'a b'")
        assert result.stdout.decode() == f"anna ssh 7 [] {settings.root}\n"
        result = paas(settings, "--ssh", "7", SSH_ORIGINAL_COMMAND="echo 'a  b' \"$HOME;\" `x`\nc")
        assert result.stdout.split(b"\0") == [b"a  b", b"$HOME;", b"`x`", b"c"]
        assert paas(settings, "--ssh", "7").stdout == b"help\n"

    def test_ssh_refusals(self, settings: Settings) -> None:
        result = paas(settings, "--ssh", "7", SSH_ORIGINAL_COMMAND="echo 'a")
        assert (result.returncode, result.stdout, result.stderr[:8]) == (2, b"", b" !     T")
        result = paas(settings, "--ssh", "8", SSH_ORIGINAL_COMMAND="echo a")
        assert (result.returncode, result.stdout) == (1, b"")

    def test_hook_gets_descriptors_and_push_options(self, settings: Settings) -> None:
        reader, writer = os.pipe()
        result = subprocess.run(
            [*STUB, "git-hook", "app"],
            env=environment(
                settings,
                PAAS_DOOR="hook",
                PAAS_KEY_ID="7",
                PAAS_DESCRIPTORS=str(writer),
                GIT_PUSH_OPTION_0="no-wait",
            ),
            pass_fds=[writer],
            capture_output=True,
        )
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            assert pipe.read() == b"through the extra descriptor"
        assert (result.returncode, result.stdout) == (0, b"no-wait\n")

    @pytest.mark.parametrize(
        ("number", "reason", "code"),
        [
            (signal.SIGINT, "Ctrl-C", 130),
            (signal.SIGTERM, "by operation:cancel or SIGTERM", 143),
            (signal.SIGHUP, "the connection", 129),
        ],
    )
    def test_signals_are_forwarded(
        self, settings: Settings, tmp_path: Path, number: int, reason: str, code: int
    ) -> None:
        process, _ = started(settings, "sleep", str(tmp_path / "end"))
        process.send_signal(number)
        _, said = process.communicate(timeout=WAIT_SECONDS)
        assert (process.returncode, said) == (code, b"")
        assert (tmp_path / "end").read_text().startswith(reason)

    def test_vanished_client_interrupts(self, settings: Settings, tmp_path: Path) -> None:
        process, _ = started(settings, "sleep", str(tmp_path / "end"))
        process.kill()
        process.communicate()
        until((tmp_path / "end").exists)
        assert until((tmp_path / "end").read_text) == interrupts.REASONS[signal.SIGHUP]

    def test_vanished_reader_interrupts(self, settings: Settings, tmp_path: Path) -> None:
        process, _ = started(settings, "sleep", str(tmp_path / "end"))
        assert process.stdout
        process.stdout.close()
        assert process.wait(WAIT_SECONDS) == 129
        assert process.stderr
        process.stderr.close()

    def test_killed_command(self, settings: Settings, tmp_path: Path) -> None:
        process, pid = started(settings, "sleep", str(tmp_path / "end"))
        os.kill(pid, signal.SIGKILL)
        _, said = process.communicate(timeout=WAIT_SECONDS)
        assert (process.returncode, said.decode()) == (1, f" !     {handover.KILLED}\n")

    def test_internal_errors_are_recorded(self, settings: Settings) -> None:
        result = paas(settings, "crash")
        assert result.returncode == 1
        assert result.stderr.startswith(b" !     Internal error (RuntimeError)")
        assert b"secret" not in result.stderr
        assert "RuntimeError: secret" in (settings.root / "log" / "errors.log").read_text()

    def test_silent_and_broken_clients_block_nobody(self, settings: Settings) -> None:
        silent = [socket.socket(socket.AF_UNIX) for _ in range(30)]
        for connection in silent:
            connection.connect(str(settings.socket_path))
        silent[0].sendall(b"\xff\xff\xff\xff")
        assert b"can't be read" in silent[0].recv(100)
        silent[1].sendall(b"\0\0\0\x05hello")
        assert b"can't be read" in silent[1].recv(100)
        assert paas(settings, "exit", "0").returncode == 0
        for connection in silent:
            connection.close()

    def test_key_file_is_opened_by_the_client(self, settings: Settings, tmp_path: Path) -> None:
        result = paas(settings, "ssh-keys:add", "name", str(tmp_path / "none"))
        assert (result.returncode, result.stderr.decode()) == (
            1,
            f" !     {tmp_path}/none: No such file or directory\n",
        )

    def test_closed_standard_descriptors(self, settings: Settings) -> None:
        words = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *STUB, "cat"]
        assert subprocess.run(words, env=environment(settings)).returncode == 0

    def test_second_server_is_refused(self, settings: Settings) -> None:
        with pytest.raises(AlreadyRunning):
            listen(settings)
        assert paas(settings, "exit", "0").returncode == 0

    def test_socket_is_private(self, settings: Settings) -> None:
        assert settings.socket_path.stat().st_mode & 0o777 == 0o600
        assert settings.run_dir.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_commands_outlive_the_dispatcher(settings: Settings, tmp_path: Path, number: int) -> None:
    pid = start(settings)
    process, _ = started(settings, "pause", "0.5", str(tmp_path / "end"))
    stop(pid, number)
    process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0
    assert (tmp_path / "end").read_text() == "done"


def test_a_command_that_is_over_at_once_has_its_answer() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"\x07")
        theirs.close()
        handover.send(ours, handover.encode("host", b"", b"/", {}, [b"exit", b"7"]), [0, 1, 2])
        assert ours.recv(10) == b"\x07"


def test_stale_socket_is_replaced(settings: Settings) -> None:
    stop(start(settings), signal.SIGKILL)
    assert settings.socket_path.exists()
    pid = start(settings)
    assert paas(settings, "exit", "4").returncode == 4
    stop(pid)


def test_too_many_commands_are_refused(settings: Settings, tmp_path: Path) -> None:
    pid = start(dataclasses.replace(settings, max_commands=1))
    process, _ = started(settings, "sleep", str(tmp_path / "end"))
    result = paas(settings, "exit", "0")
    assert (result.returncode, result.stderr[:26]) == (1, b" !     1 commands run alre")
    process.terminate()
    process.communicate(timeout=WAIT_SECONDS)
    until(lambda: paas(settings, "exit", "0").returncode == 0)
    stop(pid)


def test_who_connects_and_says_nothing_makes_room(settings: Settings, tmp_path: Path) -> None:
    pid = start(dataclasses.replace(settings, max_commands=3))
    process, command = started(settings, "sleep", str(tmp_path / "end"))
    silent = [handover.connect(os.fsencode(settings.root)) for _ in range(10)]
    for number in range(5):
        assert paas(settings, "exit", str(number)).returncode == number
    assert until(lambda: silent[0].recv(1) == b"")
    # What runs has stayed.
    os.kill(command, 0)
    process.terminate()
    process.communicate(timeout=WAIT_SECONDS)
    assert (tmp_path / "end").read_text() != "slept"
    for connection in silent:
        connection.close()
    stop(pid)


@dataclasses.dataclass
class Rehearsed:
    """A dispatcher that has had one command, and the process that stands by for the next one."""

    settings: Settings
    server: int
    standby: int

    def is_gone(self) -> bool:
        return not Path(f"/proc/{self.standby}").exists()


@pytest.fixture
def rehearsed(settings: Settings, tmp_path: Path) -> Iterator[Rehearsed]:
    told = tmp_path / "rehearsed"

    def rehearse() -> None:
        (tmp_path / "part").write_text(str(os.getpid()))
        (tmp_path / "part").rename(told)

    server = start(settings, rehearse)
    assert not told.exists()
    assert paas(settings, "exit", "0").returncode == 0
    until(told.exists)
    yield Rehearsed(settings, server, int(told.read_text()))
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        stop(server)


def test_the_next_command_gets_the_process_that_has_rehearsed(rehearsed: Rehearsed, tmp_path: Path) -> None:
    process, command = started(rehearsed.settings, "pause", "0", str(tmp_path / "done"))
    assert command == rehearsed.standby
    process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0
    assert until(rehearsed.is_gone)


def test_a_killed_one_is_not_missed(rehearsed: Rehearsed) -> None:
    os.kill(rehearsed.standby, signal.SIGKILL)
    assert until(rehearsed.is_gone)
    assert paas(rehearsed.settings, "exit", "3").returncode == 3


def test_who_stands_by_ends_with_the_server(rehearsed: Rehearsed) -> None:
    stop(rehearsed.server, signal.SIGKILL)
    assert until(rehearsed.is_gone)


def test_nobody_stands_by_for_long(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(forking, "STANDBY_SECONDS", 0.2)
    rehearsed: Rehearsed = request.getfixturevalue("rehearsed")
    assert until(rehearsed.is_gone)
    assert paas(rehearsed.settings, "exit", "3").returncode == 3


def test_deep_roots(tmp_path: Path) -> None:
    """A path longer than a socket address may be."""
    settings = Settings.from_environment({"PAAS_ROOT": str(tmp_path / ("d" * 120))})
    pid = start(settings)
    assert paas(settings, "exit", "5").returncode == 5
    stop(pid)


def test_requests_survive_the_way() -> None:
    words = [b"", b"a\0b", b"\xff", b"1:2"]
    request = protocol.decode(handover.encode("ssh", b"3", b"/x", {b"TERM": b"a=b"}, words)[4:])
    assert [os.fsencode(word) for word in request.words] == words
    assert (request.door, request.key_id, request.environment) == ("ssh", 3, {"TERM": "a=b"})


@pytest.mark.parametrize(
    "body", [b"", b"x", b"4:host", b"4:hos", b"-1:", b"3:all0:1:/1:0", b"4:host0:1:/1:9", b"9" * 5000]
)
def test_what_is_no_request(body: bytes) -> None:
    with pytest.raises(protocol.BadRequest):
        protocol.decode(body)


def test_too_long_a_request() -> None:
    with pytest.raises(ValueError, match="longer than 4 MB"):
        handover.encode("host", b"", b"", {}, [b"x" * handover.MAX_REQUEST_BYTES])


@pytest.mark.parametrize(
    "env",
    [{"PAAS_ROOT": "/a/b"}, {"PAAS_ROOT": "rel"}, {"HOME": "/h"}, {"XDG_STATE_HOME": "/s", "HOME": "/h"}],
)
@pytest.mark.parametrize("uid", [0, 1000])
def test_root_is_found_as_the_settings_find_it(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], uid: int
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(handover.posix, "geteuid", lambda: uid)
    found = handover.root_directory({name.encode(): value.encode() for name, value in env.items()})
    assert Path(os.fsdecode(found)) == Settings.from_environment(env).root
