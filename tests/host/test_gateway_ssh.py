"""The embedded SSH server with the real ssh and git, the supervisor with real services."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from paas.errors import Cancelled
from paas.gateway import ssh_server
from paas.gateway.dispatcher import Dispatcher, listen
from paas.gateway.git_transport import run_git_service
from paas.gateway.serve import Service, serve
from paas.gateway.ssh_refused import LINES_A_MINUTE, RefusedLog
from paas.model.caller import Caller
from paas.settings import Listen, Settings

WAIT_SECONDS = 20.0


@dataclass
class Commands:
    """Made-up commands. `repository` is what git-receive-pack and git-upload-pack serve."""

    settings: Settings
    repository: Path

    def __call__(self, words: list[str], caller: Caller) -> int:
        name, *rest = words
        if name == "exit":
            return int(rest[0])
        if name == "both":
            os.write(1, b"o" * 200_000)
            os.write(2, b"e" * 200_000)
        elif name == "cat":
            while data := os.read(0, 1 << 16):
                view = memoryview(data)
                while view:
                    view = view[os.write(1, view) :]
        elif name == "hash":
            digest = hashlib.sha256()
            while data := os.read(0, 1 << 20):
                digest.update(data)
            print(digest.hexdigest())
        elif name == "who":
            print(caller.name, caller.door, caller.key_id, sorted(caller.environment.items()))
        elif name == "help":
            print("help")
        elif name == "sleep":
            print(os.getpid(), flush=True)
            try:
                time.sleep(WAIT_SECONDS)
            except Cancelled as cancelled:
                Path(rest[0]).write_text(cancelled.reason)
                raise
        elif name == "terminal":
            resized = []
            signal.signal(signal.SIGWINCH, lambda *_: resized.append(os.get_terminal_size(0)))
            print(os.isatty(0), os.isatty(1), os.isatty(2), flush=True)
            until(lambda: resized)
            print(*resized[-1], flush=True)
        elif name in ("git-receive-pack", "git-upload-pack"):
            return run_git_service(self.settings, name, self.repository, caller, 1 << 30)[0]  # type: ignore[arg-type]
        elif name == "git-hook":
            print(rest, caller.name, caller.environment.get("GIT_PUSH_OPTION_0"))
            if caller.environment.get("GIT_PUSH_OPTION_0") == "wait":
                return self(["sleep", str(self.settings.root / "end")], caller)
            return int("refused" in sys.stdin.read())
        return 0


def until(question: Callable[[], Any]) -> Any:
    """The first true answer, within WAIT_SECONDS."""
    end = time.monotonic() + WAIT_SECONDS
    while not (answer := question()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return answer


@dataclass
class Host:
    """A running server, and how its client is called."""

    settings: Settings
    port: int
    folder: Path
    dispatcher: int

    def ssh(self, *options: str, key: str = "key") -> list[str]:
        fixed = ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        fixed += ["-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
        return ["ssh", *fixed, "-i", str(self.folder / key), "-p", str(self.port), *options]

    def run(
        self, *words: str, options: tuple[str, ...] = (), **more: Any
    ) -> subprocess.CompletedProcess[bytes]:
        words = (*self.ssh(*options), "anybody@127.0.0.1", *words)
        return subprocess.run(words, capture_output=True, timeout=WAIT_SECONDS * 3, **more)

    def git(self, *words: str, folder: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "GIT_SSH_COMMAND": " ".join(self.ssh())}
        words = ("git", "-c", "user.name=a", "-c", "user.email=a@b", *words)
        return subprocess.run(words, cwd=folder, env=env, capture_output=True, timeout=WAIT_SECONDS * 3)


def fork(run: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        run()
        os._exit(0)
    return pid


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("gateway")
    for name in ("key", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    said = subprocess.run(
        ["ssh-keygen", "-lf", folder / "key.pub"], check=True, capture_output=True, text=True
    )
    known = {said.stdout.split()[1]: (7, "anna")}
    settings = Settings.from_environment({"PAAS_ROOT": str(folder / "root")})
    subprocess.run(["git", "init", "-q", "--bare", folder / "app.git"], check=True)
    requests, connections = listen(settings), ssh_server.listen(Listen("127.0.0.1", 0))
    commands = Commands(settings, folder / "app.git")
    dispatcher = fork(lambda: Dispatcher(settings, commands, {7: "anna"}.get).run(requests, lambda: None))

    def serve_ssh() -> None:
        with (folder / "ssh.log").open("w") as log:
            os.dup2(log.fileno(), 2)
        sys.stderr = os.fdopen(2, "w")
        ssh_server.SshServer(settings, known.get).run(connections, lambda: None)

    server = fork(serve_ssh)
    port = connections.getsockname()[1]
    requests.close()
    connections.close()
    yield Host(settings, port, folder, dispatcher)
    for pid in (dispatcher, server):
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def test_exit_codes_and_caller(host: Host) -> None:
    assert [host.run("exit", str(code)).returncode for code in (0, 1, 20, 255)] == [0, 1, 20, 255]
    assert host.run("who").stdout == b"anna ssh 7 []\n"
    assert host.run().stdout == b"help\n"
    assert host.run("cat 'a").returncode == 2


def test_a_strange_key_is_refused(host: Host) -> None:
    result = subprocess.run([*host.ssh(key="stranger"), "x@127.0.0.1", "who"], capture_output=True)
    assert (result.returncode, result.stdout) == (255, b"")
    assert b"Permission denied (publickey)" in result.stderr
    said = subprocess.run(
        ["ssh-keygen", "-lf", host.folder / "stranger.pub"], check=True, capture_output=True, text=True
    )
    line = f"SSH server: 127.0.0.1 was not let in with {said.stdout.split()[1]}\n"
    until(lambda: line in (host.folder / "ssh.log").read_text())


def test_a_flood_of_strange_keys_does_not_fill_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    log = RefusedLog()
    for _ in range(500):
        log.write("10.0.0.1", ["SHA256:a", "SHA256:b", "SHA256:c", "SHA256:d", "SHA256:a"])
    lines = capfd.readouterr().err.splitlines()
    assert set(lines[:1]) == {"SSH server: 10.0.0.1 was not let in with SHA256:a, SHA256:b, SHA256:c and 1 more"}
    assert len(lines) <= 2 * LINES_A_MINUTE + 1  # of two minutes, where one ends just then


def test_only_commands(host: Host) -> None:
    options = ("-o", "SetEnv=LD_PRELOAD=x GIT_PROTOCOL=version=2", "-A", "-X")
    assert host.run("who", options=options).stdout == b"anna ssh 7 [('GIT_PROTOCOL', 'version=2')]\n"
    assert host.run("sftp", options=("-s",)).returncode != 0
    assert host.run(options=("-W", "127.0.0.1:1")).returncode != 0


def test_no_byte_is_lost(host: Host) -> None:
    data = os.urandom(20 << 20)
    assert host.run("cat", input=data).stdout == data
    assert host.run("hash", input=data).stdout.decode().strip() == hashlib.sha256(data).hexdigest()
    result = host.run("both")
    assert (result.stdout, result.stderr) == (b"o" * 200_000, b"e" * 200_000)


def test_vanished_client_interrupts(host: Host, tmp_path: Path) -> None:
    words = [*host.ssh(), "x@127.0.0.1", "sleep", str(tmp_path / "end")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as client:
        assert client.stdout
        client.stdout.readline()
        client.kill()
    until(lambda: (tmp_path / "end").exists() and (tmp_path / "end").read_text())


def test_killed_command(host: Host, tmp_path: Path) -> None:
    words = [*host.ssh(), "x@127.0.0.1", "sleep", str(tmp_path / "end")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        assert client.stdout and client.stderr
        os.kill(int(client.stdout.readline()), signal.SIGKILL)
        assert b"was killed" in client.stderr.read()
    assert client.returncode == 1


def on_terminal(words: list[str]) -> tuple[int, int]:
    """Start `words` on a new terminal: (pid, the terminal's master)."""
    pid, master = pty.fork()
    if pid == 0:
        os.execvp(words[0], words)  # noqa: S606
    return pid, master


def read_until(master: int, wanted: bytes) -> bytes:
    said = b""
    while wanted not in said:
        assert select.select([master], [], [], WAIT_SECONDS)[0], said
        said += os.read(master, 4096)
    return said


def test_terminal_and_its_size(host: Host) -> None:
    pid, master = on_terminal([*host.ssh("-tt"), "x@127.0.0.1", "terminal"])
    read_until(master, b"True True True")
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", 33, 101, 0, 0))
    read_until(master, b"101 33")
    os.waitpid(pid, 0)
    os.close(master)


def test_control_c_on_a_terminal(host: Host, tmp_path: Path) -> None:
    pid, master = on_terminal([*host.ssh("-tt"), "x@127.0.0.1", "sleep", str(tmp_path / "end")])
    read_until(master, b"\n")
    os.write(master, b"\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    assert (tmp_path / "end").read_text() == "Ctrl-C"
    os.close(master)


def test_offering_anothers_key_gives_nothing(host: Host) -> None:
    """Vulnerability: the key that was only offered decides. Attack: offer a known public key, sign with another."""
    found = {"SHA256:known": (1, "admin")}
    connection = ssh_server._Connection(host.settings, found.get)
    connection.key_id = 1
    assert connection.check_auth_publickey("x", object()) != 0
    assert connection.key_id is None


def test_without_a_dispatcher_the_command_runs_anyway(tmp_path: Path) -> None:
    from paas.gateway import handover, protocol, ssh_session

    settings = Settings.from_environment({"PAAS_ROOT": str(tmp_path)})
    connection = ssh_session.command_connection(settings)
    with connection:
        handover.send(connection, handover.encode("ssh", b"", b"", {}, [b"apps:list"]), [0, 1, 2])
        assert connection.recv(protocol.MAX_DESCRIPTORS) == b"\x01"  # No key, no command.


@pytest.fixture
def work(host: Host, tmp_path: Path) -> Path:
    """A repository with one commit and the remote `paas`."""
    host.git("init", "-q", "-b", tmp_path.name.replace("_", "-"), folder=tmp_path)
    host.git("commit", "-q", "--allow-empty", "-m", tmp_path.name, folder=tmp_path)
    host.git("remote", "add", "paas", "dokku@127.0.0.1:app", folder=tmp_path)
    return tmp_path


def test_push_runs_the_hook_and_fetch_finds_it(host: Host, work: Path) -> None:
    result = host.git("push", "-o", "no-wait", "paas", "HEAD:refs/heads/main", folder=work)
    assert result.returncode == 0, result.stderr
    assert b"remote: ['app'] anna no-wait" in result.stderr
    assert b"refs/heads/main" in host.git("ls-remote", "paas", folder=work).stdout


def test_push_that_the_hook_refuses(host: Host, work: Path) -> None:
    assert host.git("push", "paas", "HEAD:refs/heads/refused", folder=work).returncode != 0
    assert b"refused" not in host.git("ls-remote", "paas", folder=work).stdout


def test_push_whose_client_vanishes(host: Host, work: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(work), "GIT_SSH_COMMAND": " ".join(host.ssh())}
    words = ["git", "push", "-q", "-o", "wait", "paas", "HEAD:refs/heads/gone"]
    with subprocess.Popen(words, cwd=work, env=env, stderr=subprocess.PIPE, start_new_session=True) as client:
        assert client.stderr
        while b"wait" not in client.stderr.readline():
            pass
        os.killpg(client.pid, signal.SIGKILL)
    end = host.settings.root / "end"
    assert "dropped" in until(lambda: end.exists() and end.read_text())
    assert b"gone" not in host.git("ls-remote", "paas", folder=work).stdout


class TestServe:
    """The supervisor, with a service that writes its pid."""

    def start(self, tmp_path: Path) -> tuple[int, int]:
        reader, writer = os.pipe()

        def service(ready: Callable[[], None]) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            (tmp_path / "new").write_text(str(os.getpid()))
            (tmp_path / "new").rename(tmp_path / "pid")
            ready()
            time.sleep(WAIT_SECONDS)

        def supervise() -> None:
            os.dup2(writer, 1)
            sys.stdout = os.fdopen(1, "w")
            os._exit(serve([Service("one", service)], "root=x"))

        pid = fork(supervise)
        os.close(writer)
        return pid, reader

    def test_ready_restart_stop(self, tmp_path: Path) -> None:
        pid, reader = self.start(tmp_path)
        assert os.read(reader, 100) == b"ready root=x\n"
        first = int((tmp_path / "pid").read_text())
        os.kill(first, signal.SIGKILL)
        second = until(lambda: (number := int((tmp_path / "pid").read_text())) != first and number)
        os.kill(pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert not Path(f"/proc/{second}").exists()
        assert os.read(reader, 100) == b""
        os.close(reader)

    def test_killed_supervisor_takes_services_along(self, tmp_path: Path) -> None:
        pid, reader = self.start(tmp_path)
        os.read(reader, 100)
        child = (tmp_path / "pid").read_text()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert os.read(reader, 1) == b""
        until(lambda: not Path(f"/proc/{child}").exists() or ") Z" in Path(f"/proc/{child}/stat").read_text())
        os.close(reader)

    def test_ready_is_told_to_systemd(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(tmp_path / "notify"))
            notify.settimeout(WAIT_SECONDS)
            monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
            pid, reader = self.start(tmp_path)
            assert notify.recv(100) == b"READY=1"
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        os.close(reader)


def test_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        env = {**os.environ, "PAAS_ROOT": str(tmp_path), "PAAS_SSH_LISTEN": address}
        result = subprocess.run(
            [sys.executable, "-m", "paas", "serve"], env=env, capture_output=True, timeout=60
        )
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.startswith(
        f" !     {address} can't be listened on (Address already in use)".encode()
    )
    assert result.stderr.count(b"\n") == 1
