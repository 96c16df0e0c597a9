"""A Docker Engine of a test's own, in a network namespace of its own: one that may be killed and restarted."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from support.clients import until
from support.processes import children
from support.small_disk import SmallDisk, small_disk

CLONE_NEWNET = 0x40000000
STOP_SECONDS = 60
ADDRESSES = "base=10.221.0.0/16,size=24"
Answer = TypeVar("Answer")


class PrivateEngine:
    """`host` is its DOCKER_HOST, `within` the words that run a program in its namespace."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self.folder, self.namespace = folder, namespace
        self.host = f"unix://{folder}/docker.sock"
        self.within = ["nsenter", f"--net=/run/netns/{namespace}"]
        self.process: subprocess.Popen[bytes] | None = None
        self.containerd: subprocess.Popen[bytes] | None = None
        self.disk: SmallDisk | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        # As a distribution runs it: what keeps the containers is a service of its own.
        containerd = f"{self.folder}/containerd.sock"
        if self.containerd is None:
            words = ["containerd", "--address", containerd]
            words += ["--root", f"{self.folder}/containerd", "--state", f"{self.folder}/state"]
            self.containerd = self._run(words)
            until(lambda: Path(containerd).exists(), self._log)
        words = ["dockerd", "--host", self.host, "--data-root", f"{self.folder}/data"]
        words += ["--exec-root", f"{self.folder}/exec", "--pidfile", f"{self.folder}/docker.pid"]
        words += ["--default-address-pool", ADDRESSES, "--containerd", containerd]
        (self.folder / "docker.pid").unlink(missing_ok=True)
        self.process = self._run([*self.within, *words])
        until(self._answers, self._log)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it as a service manager does; with SIGKILL, as a crash does: its containers go on."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(STOP_SECONDS)
            self.process = None

    def power_off(self, number: int) -> None:
        """All of it ends as when the machine is shut down, or with SIGKILL as in a power failure: containers too, and what
        is only in memory is gone."""
        self.stop(number)
        if self.containerd is not None:
            self.containerd.send_signal(number)
            self.containerd.wait(STOP_SECONDS)
            self.containerd = None
        for process in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for mount in _mounts_below(self.folder / "state") + _mounts_below(self.folder / "exec"):
            subprocess.run(["umount", "--lazy", mount], check=False)
        for name in ("state", "exec"):
            subprocess.run(["rm", "-rf", "--one-file-system", str(self.folder / name)], check=False)
        (self.folder / "containerd.sock").unlink(missing_ok=True)

    def _processes(self) -> list[int]:
        """The shims that are left, and what they keep."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and f"{self.folder}/".encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        for shim in found:
            found += children(shim)
        return found

    def close(self) -> None:
        """End all of it, and the containers; only a running engine can do that."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        left = self.docker("ps", "--all", "--quiet").stdout.split()
        self.docker("rm", "--force", *left)
        self.stop()
        if self.containerd is not None:
            self.containerd.terminate()
            self.containerd.wait(STOP_SECONDS)

    def _run(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def load(self, *images: str) -> None:
        """Give it images of the machine's engine."""
        saved = subprocess.run(["docker", "image", "save", *images], stdout=subprocess.PIPE, check=True)
        words = ["docker", "--host", self.host, "image", "load", "--quiet"]
        subprocess.run(words, input=saved.stdout, stdout=subprocess.DEVNULL, check=True)

    def inside(self, do: Callable[[], Answer]) -> Answer:
        """What `do` returns, or raises, in this engine's network."""
        outcome: list[Answer] = []
        failure: list[BaseException] = []

        def run() -> None:
            # Only the thread changes its namespace.
            with Path(f"/run/netns/{self.namespace}").open("rb") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            try:
                outcome.append(do())
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return outcome[0]

    def _log(self) -> str:
        return (self.folder / "log").read_text()[-2000:]

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"dockerd ended:\n{self._log()}"
        return self.docker("version").returncode == 0

    def docker(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Docker's own client."""
        command = ["docker", "--host", self.host, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)


@contextlib.contextmanager
def private_engine(images: Sequence[str], disk_megabytes: int = 0) -> Iterator[PrivateEngine]:
    """A started engine that has `images`; at the end nothing of it is left. With `disk_megabytes` its data folder is on
    a file system of its own, `disk`."""
    namespace = f"paas-test-{os.getpid()}"
    folder = Path(tempfile.mkdtemp(prefix="paas-engine-", dir="/tmp"))
    engine = PrivateEngine(folder, namespace)
    disk = contextlib.ExitStack()
    try:
        if disk_megabytes:
            engine.disk = disk.enter_context(small_disk(folder / "disk", folder / "data", disk_megabytes))
        subprocess.run(["ip", "netns", "add", namespace], check=True)
        subprocess.run(["ip", "-n", namespace, "link", "set", "lo", "up"], check=True)
        engine.start()
        engine.load(*images)
        yield engine
    finally:
        if engine.disk:
            engine.disk.free()
        engine.close()
        disk.close()
        subprocess.run(["ip", "netns", "delete", namespace], check=False)
        for mount in _mounts_below(folder):
            subprocess.run(["umount", "--lazy", mount], check=False)
        subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=False)


def _mounts_below(folder: Path) -> list[str]:
    """The deepest first."""
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return sorted((point for point in points if point.startswith(f"{folder}/")), reverse=True)
