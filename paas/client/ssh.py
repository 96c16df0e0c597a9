"""The machine's own ssh: how it is called for a host, with its own configuration, keys and agent."""

from __future__ import annotations

import getpass
import os
import shlex
import subprocess
from collections.abc import Sequence
from functools import cached_property
from typing import IO

from paas.client.failure import NoSsh
from paas.client.where import Host

PROGRAM_VARIABLE = "PAAS_SSH"
USER = "paas"
# What ssh itself ends with when it is ssh that failed.
FAILED = 255


class Ssh:
    """Commands on one host. Raises NoSsh where the program is not there."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.program = shlex.split(os.environ.get(PROGRAM_VARIABLE, "")) or ["ssh"]

    def command(self, words: Sequence[str], tty: bool = False) -> list[str]:
        """The argument list. Over there the words are one line again, so they are quoted."""
        terminal = ["-t"] if tty else []
        return [*self.program, *self._port, *terminal, *self._user, "--", self.host.name, *map(shlex.quote, words)]

    @property
    def _port(self) -> list[str]:
        return ["-p", str(self.host.port)] if self.host.port else []

    @cached_property
    def _user(self) -> list[str]:
        """The key decides who one is, whatever the user's name; but without one ssh would take that of this machine's user."""
        if self.host.user:
            return ["-l", self.host.user]
        asked = self.start([*self.program, "-G", *self._port, "--", self.host.name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        said, _ = asked.communicate()
        user = next((line[5:] for line in said.decode("utf-8", "replace").splitlines() if line.startswith("user ")), "")
        return [] if user and user != getpass.getuser() else ["-l", USER]

    def start(
        self, command: list[str], stdin: int | None = None, stdout: int | None = None, stderr: int | None = None
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr)
        except OSError as error:
            raise NoSsh(program=command[0], reason=(error.strerror or "").lower()) from None

    def become(self, words: Sequence[str], tty: bool) -> None:
        """Go on as ssh: its input, its output, its signals and its exit code are ours then."""
        command = self.command(words, tty)
        try:
            os.execvp(command[0], command)  # noqa: S606 - there is no shell, on purpose
        except OSError as error:
            raise NoSsh(program=command[0], reason=(error.strerror or "").lower()) from None

    def ask(self, words: Sequence[str], question: str) -> tuple[int, bytes, bytes]:
        """Run a command that answers: exit code, output and errors."""
        asked = self.start(self.command(words), subprocess.PIPE, subprocess.PIPE, subprocess.PIPE)
        out, err = asked.communicate(question.encode())
        return asked.returncode, out, err

    def send(self, words: Sequence[str], stdin: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[bytes]:
        """Start a command that reads what we write; its output is ours."""
        return self.start(self.command(words), stdin=stdin if isinstance(stdin, int) else stdin.fileno())
