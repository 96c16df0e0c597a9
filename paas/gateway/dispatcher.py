"""The dispatcher: a warm process on run/paas.sock that forks one child per command.

The child gets the client's own descriptors, so it reads and writes what the client would have. It is an ordinary
process of its own session that outlives the dispatcher. The connection lives exactly as long as the command: for
the client its end means that the command is over, for the command its end means that the client is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import struct
import termios
from collections.abc import Callable
from dataclasses import dataclass

from paas import interrupts
from paas.console import WARNING
from paas.errors import USAGE, PaasError
from paas.gateway import command as commands
from paas.gateway import handover, protocol
from paas.gateway.forking import ForkingServer, call_ourselves, close_other_descriptors
from paas.settings import Settings

REQUEST_SECONDS = 10.0
BACKLOG = 1024
# Said by our own agent: the command goes on when whoever sent it is gone.
ALONE = "PAAS_ALONE"


class AlreadyRunning(PaasError):
    """Another `paas serve` answers in {directory}. Nothing was started. Stop that one first, or set PAAS_ROOT to another directory"""


class SocketUnusable(PaasError):
    """{path} can't be listened on ({reason}). Nothing was started"""


@dataclass
class Dispatcher:
    """Runs `command` for every request; `key_name` tells the name of an SSH key by its id. `prepare` is called in the
    dispatcher itself before it forks, `rehearse` in a process that stands by for the next command."""

    settings: Settings
    command: commands.Command
    key_name: commands.KeyName
    prepare: Callable[[], None] = lambda: None
    rehearse: Callable[[], None] = lambda: None

    def run(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Serve on `listener` until SIGTERM. Commands that still run then are left alone."""
        limit = self.settings.max_commands
        ForkingServer(
            listener, self.handle, self._refuse, limit, self.prepare, rehearse=self.rehearse
        ).run(ready)

    def _refuse(self, connection: socket.socket) -> None:
        text = f"{WARNING}{self.settings.max_commands} commands run already. Nothing was done. Try again in a moment\n"
        connection.setblocking(False)
        protocol.reply(connection, 1, text)

    def handle(self, connection: socket.socket, wanted: Callable[[], None] = lambda: None) -> None:
        """Be the process of the command that `connection` asks for; doesn't return. `wanted` is called when it has."""
        call_ourselves("paas command")
        connection.settimeout(REQUEST_SECONDS)
        uid = _peer_uid(connection)
        if uid not in (0, os.geteuid()):
            os._exit(1)
        try:
            request, descriptors = protocol.receive(connection)
        except protocol.BadRequest:
            protocol.reply(connection, USAGE, f"{WARNING}The request can't be read\n")
            os._exit(1)
        except OSError:  # Silent for too long, or gone.
            os._exit(1)
        wanted()
        connection.setblocking(True)
        _adopt(descriptors)
        extra = tuple(descriptors[3:])
        close_other_descriptors({connection.fileno(), *extra})
        commands.standard_streams()
        commands.prepare(self.settings, request)
        interrupts.install()
        if ALONE not in request.environment:
            interrupts.watch([connection.fileno(), 1], _pass_signals_on)
        commands.watch_parent(request, extra)
        code = commands.run(
            self.settings,
            self.command,
            lambda: commands.words_of(request),
            lambda: commands.caller_of(request, uid, self.key_name, extra),
        )
        protocol.reply(connection, code)
        os._exit(code & 0xFF)


def listen(settings: Settings) -> socket.socket:
    """The dispatcher's socket, only for its own user and root. Raises AlreadyRunning or SocketUnusable."""
    run_dir = settings.run_dir
    try:
        settings.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        run_dir.mkdir(mode=0o700, exist_ok=True)
        run_dir.chmod(0o700)
        try:
            handover.connect(os.fsencode(settings.root)).close()
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                settings.socket_path.unlink()
        else:
            raise AlreadyRunning(directory=settings.root)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            handover.with_socket_path(os.fsencode(run_dir), listener.bind)
        finally:
            os.umask(mask)
        listener.listen(BACKLOG)
    except OSError as error:
        raise SocketUnusable(path=settings.socket_path, reason=error.strerror) from None
    return listener


def serve_connection(dispatcher: Dispatcher, descriptor: int) -> None:
    """Run the one command that arrives on `descriptor`, where no dispatcher runs; doesn't return."""
    dispatcher.handle(socket.socket(fileno=descriptor))


def _adopt(descriptors: list[int]) -> None:
    """Make the first three of `descriptors` ours, in a session of our own."""
    for number in range(3):
        os.dup2(descriptors[number], number)
    with contextlib.suppress(
        PermissionError
    ):  # A session leader already, when the stub's fallback started us.
        os.setsid()
    if os.isatty(0):
        # Nobody's terminal yet when it comes from our own SSH server: then Ctrl-C on it is for us. One that
        # belongs to the client's session stays there, and the client forwards its signals.
        with contextlib.suppress(OSError):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _pass_signals_on(message: bytes) -> None:
    for number in protocol.signals(message):
        os.kill(os.getpid(), signal.Signals(number))


def _peer_uid(connection: socket.socket) -> int:
    """The user id of the process at the other end."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])
