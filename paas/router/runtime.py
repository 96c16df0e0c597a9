"""A conversation with HAProxy over one of its unix sockets: the runtime API.

A worker's own socket, or the master's with a worker's process id for one that a reload has left behind. One connection
in prompt mode carries any number of commands, so an answer's end is certain.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import TracebackType

from paas.errors import PaasError

TIMEOUT_SECONDS = 5.0  # for one answer
PATH_BYTES = 100  # a longer socket path is reached through its directory's descriptor
CHUNK_BYTES = 65_536

# What HAProxy says when a command has done its work; most say nothing.
ACCEPTED = (
    "New server registered.",
    "Server deleted.",
    "IP changed from",
    "port changed from",
    "no need to change",
    # Of certificates; the last one says that an earlier try came so far.
    "New empty certificate store",
    "Transaction created for certificate",
    "Committing",
    "Inserting certificate",
    "Entry",
    "Certificate",
)
PAYLOAD_PROMPTS = "+ "


class RouterNotRunning(PaasError):
    """The router does not answer ({reason})"""


class RouterFailed(PaasError):
    """The router refused `{command}`: {reason}"""


class Runtime:
    """An open conversation; a context manager. Raises RouterNotRunning when nobody is there or hangs up."""

    def __init__(self, path: Path, worker: int | None = None) -> None:
        self._prompt = b"> "
        self._socket = _connect(path)
        try:
            self.ask("prompt") if worker is None else self._enter(worker)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def ask(self, command: str) -> str:
        """Send a command and return its answer, without surrounding blank lines."""
        try:
            self._socket.sendall(command.encode() + b"\n")
            return self._answer().decode(errors="replace").strip("\n")
        except OSError as error:
            raise RouterNotRunning(reason=str(error)) from error

    def tell(self, command: str) -> None:
        """Send a command that changes something. Raises RouterFailed with HAProxy's words when it does not."""
        answer = self.ask(command).lstrip(PAYLOAD_PROMPTS).strip()
        if answer and not answer.startswith(ACCEPTED):
            # Never what is sent along: that is a private key.
            raise RouterFailed(command=command.partition("\n")[0], reason=answer)

    def _enter(self, worker: int) -> None:
        self._prompt = b"master> "
        self.ask("prompt")
        self._prompt = f"{worker}> ".encode()
        self.ask(f"@!{worker}")

    def _answer(self) -> bytes:
        answer = bytearray()
        end = b"\n" + self._prompt
        while not (answer.endswith(end) or answer == self._prompt):
            chunk = self._socket.recv(CHUNK_BYTES)
            if not chunk:
                raise ConnectionResetError("it hung up")
            answer += chunk
        return bytes(answer[: -len(self._prompt)])


def ask_once(path: Path, command: str) -> str:
    """One command without prompt mode: for the master, which hangs up on `reload`. Raises RouterNotRunning."""
    with _connect(path) as connection:
        answer = bytearray()
        try:
            connection.sendall(command.encode() + b"\n")
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(CHUNK_BYTES):
                answer += chunk
        except OSError as error:
            raise RouterNotRunning(reason=str(error)) from error
        return answer.decode(errors="replace")


def start(path: Path, command: str) -> socket.socket:
    """Send a command whose answer does not end; the caller reads it. Raises RouterNotRunning."""
    connection = _connect(path)
    try:
        connection.sendall(command.encode() + b"\n")
    except OSError as error:
        connection.close()
        raise RouterNotRunning(reason=str(error)) from error
    return connection


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(TIMEOUT_SECONDS)
    try:
        if len(os.fsencode(path)) <= PATH_BYTES:
            connection.connect(str(path))
        else:
            directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                connection.connect(f"/proc/self/fd/{directory}/{path.name}")
            finally:
                os.close(directory)
    except OSError as error:
        connection.close()
        raise RouterNotRunning(reason=error.strerror or str(error)) from error
    return connection
