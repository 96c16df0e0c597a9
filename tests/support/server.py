"""A running `paas serve` with a root, ports and a key of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import docker

from support.engine import remove_everything_of, remove_tags_of

CHECKOUT = Path(__file__).resolve().parents[2]
STUB = CHECKOUT / "paas" / "gateway" / "stub.py"
READY_SECONDS = 30
STOP_SECONDS = 20
HTTP_SECONDS = 20
KEPT_LOG_LINES = 80
PORTS = range(10_000, 32_000)  # below those that the kernel gives to connections


@dataclasses.dataclass(frozen=True)
class Result:
    """What a command came back with."""

    code: int
    out: str
    err: str

    def ok(self) -> str:
        """Standard output of a command that must have succeeded."""
        assert self.code == 0, f"exit code {self.code}\n--- standard output\n{self.out}\n--- standard error\n{self.err}"
        return self.out


@dataclasses.dataclass(frozen=True)
class Response:
    """What an app answered."""

    status: int
    body: str
    headers: Mapping[str, str]


def run(
    command: list[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: bytes | str | None = None,
    timeout: float = 120,
) -> Result:
    """Run a command to its end; an `input` of None is an empty standard input. `timeout` is in seconds."""
    data = input.encode() if isinstance(input, str) else input or b""
    done = subprocess.run(command, env=env, cwd=cwd, input=data, capture_output=True, timeout=timeout)
    return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def free_port() -> int:
    """A loopback port nobody listens on just now, and that no connection of a test beside this one gets."""
    while True:
        port = secrets.choice(PORTS)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Paas:
    """One installation under /tmp, its server and the key `admin`. `within`: the words that start the server are put
    after these."""

    def __init__(self, root: Path, within: Sequence[str] = (), **env: str) -> None:
        self.root, self.within = root, within
        self.ssh_port, self.http_port, self.https_port = free_port(), free_port(), free_port()
        self.log = root.with_name(root.name + ".log")
        self.key = root.with_name(root.name + ".key")
        self.env = {
            **os.environ,
            "PAAS_ROOT": str(root),
            "PAAS_SSH_LISTEN": f"127.0.0.1:{self.ssh_port}",
            "PAAS_HTTP_LISTEN": f"127.0.0.1:{self.http_port}",
            "PAAS_HTTPS_LISTEN": f"127.0.0.1:{self.https_port}",
            "PAAS_DOMAIN": "localhost",
            "PAAS_PYTHON": sys.executable,
            "PYTHONPATH": str(CHECKOUT),
            **env,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it says that it is ready."""
        with self.log.open("ab") as log:
            start = log.tell()
            self.process = subprocess.Popen(
                [*self.within, sys.executable, "-P", "-m", "paas", "serve"],
                env=self.env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not any(line.startswith(b"ready") for line in self.log.read_bytes()[start:].splitlines()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"paas serve did not get ready:\n{self.last_log()}")
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the server as a service manager would; with SIGKILL, as a crash would."""
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"paas serve did not stop in {STOP_SECONDS} s:\n{self.last_log()}") from None
        finally:
            self.process = None

    def command(self, *words: str, input: bytes | str | None = None, timeout: float = 120) -> Result:
        """Run `paas WORDS` on the host."""
        return run([str(STUB), *words], env=self.env, input=input, timeout=timeout)

    def http_get(self, host: str, path: str = "/", headers: Mapping[str, str] | None = None) -> Response:
        """Ask the router for an app (a name without a dot) or for any host name."""
        name = host if "." in host else f"{host}.localhost"
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=HTTP_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Host": f"{name}:{self.http_port}", **(headers or {})})
            answer = connection.getresponse()
            return Response(answer.status, answer.read().decode(errors="replace"), dict(answer.getheaders()))

    def last_log(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-KEPT_LOG_LINES:])


@contextlib.contextmanager
def running_paas(within: Sequence[str] = (), base: Path | None = None, **env: str) -> Iterator[Paas]:
    """A started server; at the end nothing of it is left, in the engine or on disk. `base`: where its folder is made."""
    # Not pytest's tmp_path: a socket's path must stay under 108 bytes.
    base = Path(tempfile.mkdtemp(prefix="paas-test-", dir=base or "/tmp"))
    server = Paas(base / "root", within, **env)
    try:
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "admin", "-f", str(server.key)]).ok()
        server.command("ssh-keys:add", "admin", f"{server.key}.pub").ok()
        server.start()
        yield server
    finally:
        try:
            server.stop()
        finally:
            _end_leftover_processes(server.root)
            with contextlib.closing(docker.from_env()) as client:
                remove_everything_of(client, lambda root: root == str(server.root))
                remove_tags_of(client, _root_id(server.root))
            shutil.rmtree(base, ignore_errors=True)


def _root_id(root: Path) -> str:
    from paas.settings import Settings

    return Settings.from_environment({"PAAS_ROOT": str(root)}).root_id


def _end_leftover_processes(root: Path) -> None:
    """End what outlives a server on purpose (HAProxy, running commands): their environment or words name the root."""
    mark = str(root).encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (entry / "cmdline").read_bytes() or b"PAAS_ROOT=" + mark in (entry / "environ").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
