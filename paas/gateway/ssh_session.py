"""One command of an SSH connection: three pipes or a pty between the channel and the dispatcher.

Two threads a command: one carries what comes from the client, the other everything that goes back. Both block
when the other side is slow, so that memory stays bounded by the channel's window.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

import paas
from paas.console import WARNING
from paas.gateway import handover
from paas.settings import Settings

CHUNK_BYTES = 256 << 10
PIPE_BYTES = 1 << 20
WATCH_SECONDS = 0.2
# How long a terminal is read on when its command is over but something in the background keeps it open.
LAST_WORDS_SECONDS = 0.1
END_OF_FILE = b"\x04"


@dataclass
class Session:
    """What a client asked for on one channel, until and while its command runs."""

    settings: Settings
    key_id: int
    channel: paramiko.Channel
    environment: dict[bytes, bytes] = field(default_factory=dict)
    size: tuple[int, int, int, int] | None = None
    started: bool = False
    _terminal: int | None = None

    def resize(self, size: tuple[int, int, int, int]) -> None:
        """Columns, rows and their pixels. The kernel tells a running command with SIGWINCH."""
        self.size = size
        if self._terminal is not None:
            columns, rows, width, height = (min(number, 0xFFFF) for number in size)
            with contextlib.suppress(OSError):
                fcntl.ioctl(
                    self._terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, width, height)
                )

    def start(self, command: bytes) -> None:
        """Run `command` in threads of its own."""
        self.started = True
        threading.Thread(target=self._run, args=(command,), daemon=True).start()

    def _run(self, command: bytes) -> None:
        code = 1
        try:
            code = self._relay(command)
        except (OSError, ValueError) as error:
            self._say(f"The command could not be handed over ({error})")
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self.channel.send_exit_status(code)
            self.channel.close()

    def _relay(self, command: bytes) -> int:
        """Hand `command` over, carry its input and output; its exit code. Raises OSError or ValueError."""
        key_id = b"%d" % self.key_id
        environment = handover.selected(self.environment, "ssh")
        request = handover.encode("ssh", key_id, b"", environment, [command])
        theirs, source, sinks = self._open()
        try:
            control = command_connection(self.settings)
            try:
                handover.send(control, request, theirs)
            finally:
                for descriptor in set(theirs):
                    os.close(descriptor)
            threading.Thread(target=self._feed, args=(source,), daemon=True).start()
            # Closing it is what interrupts the command when the client is gone.
            with control:
                return self._carry(control, sinks)
        finally:
            self._terminal = None
            for descriptor in sinks:
                os.close(descriptor)

    def _open(self) -> tuple[list[int], int, list[int]]:
        """The command's three descriptors, where its input is written, and where its output and errors are read."""
        if self.size is None:
            (read_in, write_in), (read_out, write_out), (read_err, write_err) = (
                os.pipe(),
                os.pipe(),
                os.pipe(),
            )
            for pipe in (write_in, write_out):
                with contextlib.suppress(OSError):  # Larger than the user may: the default size does too.
                    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            return [read_in, write_out, write_err], write_in, [read_out, read_err]
        master, slave = os.openpty()
        self._terminal = master
        self.resize(self.size)
        return [slave] * 3, os.dup(master), [master]

    def _feed(self, source: int) -> None:
        """Carry the client's input until it ends or the command doesn't read it any more."""
        try:
            # All that is there at once: paramiko moves what is left in its buffer at every read.
            while data := self.channel.recv(handover.MAX_REQUEST_BYTES * 16):
                _write(source, data)
            if self._terminal is not None:
                _write(source, END_OF_FILE)
        except OSError:
            return
        finally:
            os.close(source)

    def _carry(self, control: socket.socket, sinks: list[int]) -> int:
        """Carry output until the exit code comes, then what is left of it."""
        poller = select.poll()
        for descriptor in (control.fileno(), *sinks):
            poller.register(descriptor, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poller.poll(WATCH_SECONDS * 1000)]
            if self.channel.closed or not self.channel.get_transport().is_active():
                return 1
            for descriptor in ready:
                if descriptor in sinks and not self._pass_on(descriptor, sinks):
                    poller.unregister(descriptor)
            if control.fileno() in ready:
                break
        try:
            reply = control.recv(handover.REPLY_BYTES)
        except ConnectionResetError:
            reply = b""
        for descriptor in sinks:
            self._drain(descriptor, sinks)
        if not reply:
            self._say(handover.KILLED)
            return 1
        if reply[1:]:
            self.channel.sendall_stderr(reply[1:])
        return reply[0]

    def _drain(self, descriptor: int, sinks: list[int]) -> None:
        wait = LAST_WORDS_SECONDS if self._terminal is not None else 0
        while select.select([descriptor], [], [], wait)[0]:
            if not self._pass_on(descriptor, sinks):
                return

    def _pass_on(self, descriptor: int, sinks: list[int]) -> bool:
        """Carry one piece of output; False at its end."""
        try:
            data = os.read(descriptor, CHUNK_BYTES)
        except OSError:  # A terminal that nobody has open any more.
            return False
        if descriptor == sinks[0]:
            self.channel.sendall(data)
        else:
            self.channel.sendall_stderr(data)
        return bool(data)

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self.channel.sendall_stderr(f"{WARNING}{text}\n".encode())


def command_connection(settings: Settings) -> socket.socket:
    """A connection to the dispatcher, or else to a process started for this one command."""
    try:
        return socket.socket(fileno=handover.connect(os.fsencode(settings.root)).detach())
    except OSError:
        ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "paas", "--connection", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(Path(paas.__file__).parent.parent)},
            start_new_session=True,
        )
    threading.Thread(target=process.wait, daemon=True).start()
    return ours


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
