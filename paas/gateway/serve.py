"""`paas serve`: starts the services, each a process, starts again what dies, and stops them all together."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from paas.console import WARNING
from paas.gateway import handover
from paas.gateway.forking import call_ourselves

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
STEADY_SECONDS = 10.0  # What ran for so long starts again with the first pause.
STOP_SECONDS = 10.0
WAITED_FOR = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Service:
    """One long-lived process. `run` calls the function it gets as soon as it accepts work.

    `listener`, the socket it serves, is bound by the supervisor: callers wait while the service starts again.
    Without `restart` the end of the service is the end of all.
    """

    name: str
    run: Callable[[Callable[[], None]], None]
    restart: bool = True
    listener: socket.socket | None = None


@dataclass
class _Running:
    service: Service
    pid: int = 0
    ready: int | None = None
    started: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    due: float | None = None


@dataclass
class Supervisor:
    """Runs `services` until SIGTERM or SIGINT. Commands that still run then are left alone."""

    services: Sequence[Service]
    announcement: str
    _running: list[_Running] = field(default_factory=list)
    _announced: bool = False

    def run(self) -> int:
        """Returns the exit code: 0 when told to stop, 1 when a service ended that isn't started again."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
        # One that was started with SIGCHLD ignored would never hear of its children's end.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._mask = mask
        self._running = [_Running(service) for service in self.services]
        try:
            for running in self._running:
                self._start(running)
            return self._supervise()
        finally:
            self._stop()

    def _supervise(self) -> int:
        while True:
            self._announce_when_ready()
            information = signal.sigtimedwait(WAITED_FOR, self._until_due())
            if information is not None and information.si_signo in (signal.SIGTERM, signal.SIGINT):
                return 0
            for running in self._ended():
                if not running.service.restart:
                    return 1
            now = time.monotonic()
            for running in self._running:
                if running.due is not None and running.due <= now:
                    self._start(running)

    def _start(self, running: _Running) -> None:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        supervisor = os.getpid()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        pid = os.fork()
        if pid == 0:
            self._be(running.service, supervisor, writer)
        os.close(writer)
        running.pid, running.ready, running.due, running.started = pid, reader, None, time.monotonic()

    def _be(self, service: Service, supervisor: int, writer: int) -> None:
        """The child: run `service`; doesn't return."""
        code = 1
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != supervisor:
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            for running in self._running:
                # Held open by another's processes, a listener would outlive its service.
                if running.service.listener is not None and running.service is not service:
                    running.service.listener.close()
                if running.ready is not None:
                    os.close(running.ready)
            call_ourselves(f"paas {service.name}")
            service.run(lambda: _say_ready(writer))
            code = 0
        except KeyboardInterrupt:
            code = 130
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stderr.flush()
            os._exit(code)

    def _ended(self) -> list[_Running]:
        """The services that have ended since the last call, each with the time of its next start."""
        ended = []
        for running in self._running:
            if running.pid == 0:
                continue
            pid, status = os.waitpid(running.pid, os.WNOHANG)
            if pid == 0:
                continue
            running.pid = 0
            self._forget_ready(running)
            now = time.monotonic()
            if now - running.started >= STEADY_SECONDS:
                running.pause = FIRST_PAUSE_SECONDS
            running.due = now + running.pause
            code = os.waitstatus_to_exitcode(status)
            _warn(f"The {running.service.name} ended ({code}). It starts again in {running.pause:g} s")
            running.pause = min(running.pause * 2, LONGEST_PAUSE_SECONDS)
            ended.append(running)
        return ended

    def _until_due(self) -> float:
        """How long to wait for a signal: shortly while a service is about to say that it is ready."""
        now = time.monotonic()
        waits = [max(running.due - now, 0.0) for running in self._running if running.due is not None]
        if not self._announced:
            waits.append(0.01)
        return min(waits, default=3600.0)

    def _announce_when_ready(self) -> None:
        if self._announced:
            return
        for running in self._running:
            if running.pid == 0:
                return
            if running.ready is not None:
                if not select.select([running.ready], [], [], 0)[0] or not os.read(running.ready, 1):
                    return
                self._forget_ready(running)
        self._announced = True
        with contextlib.suppress(OSError):
            print(f"ready {self.announcement}", flush=True)
        tell_systemd("READY=1")

    def _forget_ready(self, running: _Running) -> None:
        if running.ready is not None:
            os.close(running.ready)
            running.ready = None

    def _stop(self) -> None:
        tell_systemd("STOPPING=1")
        deadline = time.monotonic() + STOP_SECONDS
        pids = {running.pid for running in self._running if running.pid}
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        while pids and time.monotonic() < deadline:
            pids = {pid for pid in pids if os.waitpid(pid, os.WNOHANG)[0] == 0}
            if pids:
                signal.sigtimedwait({signal.SIGCHLD}, 0.1)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def tell_systemd(state: str) -> None:
    """sd_notify: `state` to the socket that systemd named, if it did."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(state.encode(), name)


def serve(services: Sequence[Service], announcement: str) -> int:
    """Run `services`; once all are ready print one line, ``ready`` and `announcement`. Returns the exit code."""
    handover.open_standard_descriptors()
    call_ourselves("paas serve")
    return Supervisor(services, announcement).run()


def _say_ready(writer: int) -> None:
    with contextlib.suppress(OSError):
        os.write(writer, b"1")
        os.close(writer)


def _warn(text: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{WARNING}{text}\n")
        sys.stderr.flush()
