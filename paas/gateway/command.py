"""One command in this process: from a request to words, a caller and an exit code.

Shared by the dispatcher's children and by processes that run a command without a server.
"""

from __future__ import annotations

import gc
import os
import pwd
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from paas import interrupts
from paas.console import WARNING
from paas.errors import Cancelled, PaasError, UsageError, legible
from paas.gateway.protocol import Request
from paas.model.caller import Caller
from paas.model.words import split
from paas.settings import Settings

Command = Callable[[list[str], Caller], int]
KeyName = Callable[[int], str | None]

UMASK = 0o077
INTERNAL_ERROR = 1
# As a shell reports a child that a signal ended: 128 and the signal's number.
CANCELLED_CODES = {reason: 128 + number for number, reason in interrupts.REASONS.items()}
# Without a reader of the output: as for a dropped connection.
CANCELLED_CODE = 128 + signal.SIGHUP
TERMINAL_VARIABLES = ("TERM", "COLUMNS", "LINES")


class UnknownKey(PaasError):
    """This SSH key is not known any more. Ask an administrator to add it with ssh-keys:add"""


class UnreadableCommand(UsageError):
    """The command's quotes can't be read ({reason})"""


def stored_key_name(settings: Settings) -> KeyName:
    """A function that looks a key's name up in the database of `settings`."""

    def name(key_id: int) -> str | None:
        from paas.store.database import open_database
        from paas.store.keys import Keys

        database = open_database(settings)
        try:
            key = Keys(database).by_id(key_id)
        finally:
            database.close()
        return key.name if key else None

    return name


def words_of(request: Request) -> list[str]:
    """The command's words; ``help`` when there are none. Raises UnreadableCommand."""
    words = request.words
    if any("\0" in word for word in words):
        raise UnreadableCommand(reason="it holds a NUL")
    if request.door == "ssh":
        line = " ".join(words)
        try:
            words = split(line)
        except ValueError as error:
            raise UnreadableCommand(reason=str(error)) from None
    return words or ["help"]


def caller_of(request: Request, uid: int, key_name: KeyName, descriptors: tuple[int, ...] = ()) -> Caller:
    """Who asks. On the host that is user `uid`; over SSH the key decides; a hook is told. Raises UnknownKey."""
    name = request.environment.get("PAAS_CALLER") or user_name(uid)
    if request.door == "ssh" or request.key_id is not None:
        found = None if request.key_id is None else key_name(request.key_id)
        if found is None:
            raise UnknownKey()
        name = found
    return Caller(name, request.door, request.key_id, request.environment, descriptors)


def user_name(uid: int) -> str:
    """The user's login name, or the number of one without."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def prepare(settings: Settings, request: Request) -> None:
    """Directory, umask and terminal variables of a command process."""
    os.umask(UMASK)
    os.environ["PAAS_ROOT"] = str(settings.root)
    for variable in TERMINAL_VARIABLES:
        os.environ.pop(variable, None)
        if variable in request.environment:
            os.environ[variable] = request.environment[variable]
    wanted: list[str | Path] = [request.directory] if request.door == "host" else []
    for directory in [*wanted, settings.root, "/"]:
        try:
            os.chdir(directory)
        except (OSError, ValueError):
            continue
        return


def watch_parent(request: Request, descriptors: tuple[int, ...]) -> None:
    """Interrupt a hook's command when the command that started git is cancelled or killed (see `lifeline`)."""
    if request.door == "hook" and descriptors:
        interrupts.watch([descriptors[0]])


def run(
    settings: Settings, command: Command, words: Callable[[], list[str]], caller: Callable[[], Caller]
) -> int:
    """Run `command`; its exit code, or that of the error or interruption that ended it.

    From the return on, signals that interrupt are ignored: the command is over.
    """
    try:
        code = _run(settings, command, words, caller)
    except Cancelled as cancelled:  # Between two commands' ends: while an error was being reported.
        code = CANCELLED_CODES.get(cancelled.reason, CANCELLED_CODE)
    for number in interrupts.SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    flush()
    return code


def _run(
    settings: Settings, command: Command, words: Callable[[], list[str]], caller: Callable[[], Caller]
) -> int:
    try:
        return command(words(), caller())
    except Cancelled as cancelled:
        return CANCELLED_CODES.get(cancelled.reason, CANCELLED_CODE)
    except PaasError as error:
        complain(*error.lines)
        return error.exit_code
    except SystemExit as stop:
        if isinstance(stop.code, str):
            complain(stop.code)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException as error:
        log = record(settings, error)
        complain(f"Internal error ({type(error).__name__}). {log} holds the details")
        return INTERNAL_ERROR


def complain(*lines: str) -> None:
    """Lines on standard error, even when nobody reads them."""
    try:
        flush()
        sys.stderr.write("".join(f"{WARNING}{legible(line)}\n" for line in lines))
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def record(settings: Settings, error: BaseException) -> Path:
    """Append the traceback of `error` to the log of errors; the log's path."""
    log = settings.root / "log" / "errors.log"
    text = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} pid {os.getpid()}\n{''.join(traceback.format_exception(error))}\n"
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab", buffering=0) as stream:
            stream.write(text.encode("utf-8", "backslashreplace"))
    except OSError:
        complain(f"{log} can't be written")
    return log


def standard_streams() -> None:
    """New sys.stdin, sys.stdout and sys.stderr on descriptors 0, 1 and 2, whatever they were before."""
    sys.stdin = os.fdopen(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def flush() -> None:
    """Write out what sys.stdout and sys.stderr still hold, as far as somebody reads it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue


def freeze() -> None:
    """Keep the collector away from what exists now, so that it stays shared with every forked child."""
    gc.collect()
    gc.freeze()
