"""The client: `paas -H HOST COMMAND…`, and any `paas COMMAND` on a machine that has no paas of its own."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from types import FrameType

from paas.client import load, where
from paas.client.failure import NoHost
from paas.client.ssh import Ssh
from paas.client.where import Place
from paas.console import WARNING
from paas.errors import PaasError

# Their users sit at a terminal over there.
AT_A_TERMINAL = ("run", "enter", "ssh", "storage:exec")
INTERRUPTED = 130


def place(words: Sequence[str], environment: Mapping[str, str], asked: bool) -> tuple[Place | None, list[str]]:
    """Where a command goes and its words; None for one that belongs to this machine. Raises BadHost, NoHost.

    `asked`: for want of a host the git remote of the folder that we are in is asked.
    """
    found, rest = where.said(words, environment)
    if found is None and asked:
        found = where.remote()
        if found is not None:
            rest = where.with_app(rest, found.app)
    return found, rest


def run(found: Place, words: list[str]) -> int:
    """Run a command on its host; its exit code. Raises PaasError."""
    ssh = Ssh(found.host)
    if load.STDIN not in words:
        image = load.LoadWords.parse(words)
        if image is not None:
            signal.signal(signal.SIGTERM, _end)
            signal.signal(signal.SIGHUP, _end)
            return load.Load(ssh, image).run()
    name = where.command_name(words)
    words = [word for word in words if not (word == load.STDIN and name == load.COMMAND)]
    tty = name in AT_A_TERMINAL and os.isatty(0) and os.isatty(1)
    ssh.become(words, tty)
    raise AssertionError


def main(words: Sequence[str]) -> int:
    """`words` begin with -H, or another host is said in the environment or by git. Raises nothing."""
    try:
        found, rest = place(words, os.environ, asked=True)
        if found is None:
            raise NoHost()
        return run(found, rest)
    except PaasError as error:
        sys.stdout.flush()
        sys.stderr.write("".join(f"{WARNING}{line}\n" for line in error.lines))
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return 1


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
