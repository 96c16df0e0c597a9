"""backup:* — everything in one encrypted stream, and a machine made from it."""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import typer

from paas.commands.base import FormatOption, Group, recorded, session, wants_json
from paas.console import Console, size
from paas.deploy.backups import backup as backups
from paas.deploy.backups import backup_restore as restoring
from paas.deploy.backups.backup_start import start_apps
from paas.errors import PaasError, UsageError, printable
from paas.store.backup_file import BackupReader
from paas.store.sealed import MAGIC, Identity, Lock, NotSealed, Opener, Passphrase, Recipient

group = Group("backup", "Save everything in one encrypted stream, and restore it")

MAX_SECRET_BYTES = 4096
MAX_SECRET_LINES = 20

FileArgument = Annotated[
    str, typer.Argument(metavar="[FILE]", show_default=False, help="On the host; else a pipe")
]
PassphraseOption = Annotated[
    str, typer.Option("--passphrase-file", metavar="FILE", help="A file on the host with the passphrase on its first line")
]
IdentityOption = Annotated[
    str, typer.Option("--identity", metavar="FILE", help="A file on the host with the key that age-keygen made")
]


class ToTerminal(PaasError):
    """A backup is no text: nothing was written to the terminal. Send it into a file (> paas.backup)"""


class FromTerminal(PaasError):
    """Expecting a backup on standard input. Nothing was changed. Send it from a file (< paas.backup)"""


class NoPassphrase(PaasError):
    """There is no passphrase. Nothing was done. Send it as the first line on standard input, name a --passphrase-file, or a --recipient's public key"""


class PassphrasesDiffer(PaasError):
    """The two passphrases are not the same. Nothing was done"""


class Unreadable(PaasError):
    """{path} can't be {what}: {reason}. Nothing was changed"""


@group.command("create")
def create(
    file: FileArgument = "",
    recipient: Annotated[
        list[str] | None,
        typer.Option("--recipient", metavar="KEY", help="A public key (age1…) instead of a passphrase; may be repeated"),
    ] = None,
    passphrase_file: PassphraseOption = "",
    volumes: Annotated[bool, typer.Option("--volumes", help="With the content of all storage")] = False,
    no_images: Annotated[bool, typer.Option("--no-images", help="Without images: they are pulled or built again")] = False,
) -> None:
    """Write a backup of everything to standard output, or on the host to a file; commands go on meanwhile."""
    _only_on_the_host(file, passphrase_file)
    if not file and os.isatty(1):
        raise ToTerminal()
    locks: list[Lock] = [Recipient.parse(item) for item in recipient or ()]
    if not locks:
        locks = [Passphrase(_new_passphrase(passphrase_file))]
    choice = backups.Choice(images=not no_images, volumes=volumes)
    words = " ".join(word for word, given in (("--volumes", volumes), ("--no-images", no_images)) if given)
    current = session()
    # Standard output is the backup's.
    current.console = Console(sys.stderr, sys.stderr, current.console.quiet)
    with recorded(None, "backup:create", words), _target(file) as out:
        backups.create(current, out, locks, choice)


@group.command("verify")
def verify(
    file: FileArgument = "",
    passphrase_file: PassphraseOption = "",
    identity: IdentityOption = "",
    show_format: FormatOption = "stdout",
) -> None:
    """Read all of a backup and say what is in it; exit 1 where it is damaged. Changes nothing."""
    as_json = wants_json(show_format)
    with _source(file, passphrase_file, identity) as source:
        reader = BackupReader(source)
        sizes = restoring.verify(session(), reader)
    found, console = reader.contents, session().console
    if as_json:
        console.json(
            {
                "version": found.version,
                "created_at": found.created_at,
                "host": found.host,
                "root": found.root,
                "apps": found.apps,
                "images": found.images,
                "volumes": found.volumes,
                "bytes": sizes,
            }
        )
        return
    moment = datetime.fromtimestamp(found.created_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    console.header(f"Backup of {found.host}:{found.root}, made {moment} by paas {found.version}")
    console.detail(f"Apps: {', '.join(found.apps) or 'none'}")
    console.detail(f"Images of releases: {len(found.images)}")
    console.detail(f"Storage: {', '.join(found.volumes) or 'left out'}")
    for section, count in sorted(sizes.items()):
        console.detail(f"{section}: {size(count)}")
    console.detail("It is whole")


@group.command("restore")
def restore(
    file: FileArgument = "",
    passphrase_file: PassphraseOption = "",
    identity: IdentityOption = "",
    no_volumes: Annotated[bool, typer.Option("--no-volumes", help="Without the storage that is in it")] = False,
    no_start: Annotated[bool, typer.Option("--no-start", help="Start no app; ps:start does")] = False,
) -> None:
    """Make a machine without apps what the backup was of, and start every app that served."""
    current, started = session(), time.monotonic()
    restoring.refuse_used(current)
    with _source(file, passphrase_file, identity) as source:
        reader = BackupReader(source)
        current.console.step(f"Restoring {len(reader.contents.apps)} apps of {reader.contents.host}")
        running = restoring.restore(current, reader, with_volumes=not no_volumes)
    with recorded(None, "backup:restore"):
        current.console.step(f"{len(reader.contents.apps)} apps are here, {len(running)} are to run")
    current.console.detail("The SSH server shows the backup's host key after its next start")
    if running and not no_start:
        start_apps(current)
    current.console.step(f"Restored in {time.monotonic() - started:.0f} s")


def _only_on_the_host(*paths: str) -> None:
    if any(paths) and session().caller.door != "host":
        raise UsageError("Files are named on the host only: over ssh, use standard input and output")


@contextlib.contextmanager
def _target(path: str) -> Iterator[BinaryIO]:
    """Where a backup goes; a file appears under its name when it is whole."""
    if not path:
        with os.fdopen(os.dup(1), "wb") as out:
            yield out
        return
    target = Path(path).absolute()
    draft = target.parent / f".{target.name}.{os.getpid()}"
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        draft.replace(target)
    except OSError as error:
        raise Unreadable(path=printable(path), what="written", reason=error.strerror or error) from None
    finally:
        # A folder that can't be written to has no draft either.
        with contextlib.suppress(OSError):
            draft.unlink()


@contextlib.contextmanager
def _source(path: str, passphrase_file: str, identity: str) -> Iterator[BinaryIO]:
    """The decrypted content of a backup. What opens it may come before it on standard input."""
    _only_on_the_host(path, passphrase_file, identity)
    if not path and sys.stdin.isatty():
        raise FromTerminal()
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(_readable(path)) if path else sys.stdin.buffer
        lines, first = _before(source)

        def locks() -> Sequence[Lock]:
            if identity:
                return Identity.parse_file(_text(identity))
            if any(line.startswith("AGE-SECRET-KEY-") for line in lines):
                return Identity.parse_file("\n".join(lines))
            if lines:
                return [Passphrase(lines[0])]
            if passphrase_file:
                return [Passphrase(_first_line(passphrase_file))]
            if not path:
                raise NoPassphrase()
            return [Passphrase(_ask("Passphrase: ") if sys.stdin.isatty() else _stdin_line())]

        yield cast(BinaryIO, Opener(source, locks, first))


def _before(source: BinaryIO) -> tuple[list[str], bytes]:
    """The lines before the backup's own first one, and that one. Raises NotSealed."""
    lines: list[str] = []
    while len(lines) <= MAX_SECRET_LINES:
        line = source.readline(MAX_SECRET_BYTES)
        if line.rstrip(b"\n") == MAGIC:
            return lines, line
        if not line.endswith(b"\n"):
            break
        lines.append(line.decode("utf-8", "surrogateescape").rstrip("\r\n"))
    raise NotSealed()


def _new_passphrase(path: str) -> str:
    if path:
        return _first_line(path)
    if not sys.stdin.isatty():
        return _stdin_line()
    text = _ask("Passphrase for the backup: ")
    if _ask("The same again: ") != text:
        raise PassphrasesDiffer()
    return text


def _stdin_line() -> str:
    return _said(sys.stdin.buffer.readline(MAX_SECRET_BYTES))


def _first_line(path: str) -> str:
    with _readable(path) as file:
        return _said(file.readline(MAX_SECRET_BYTES))


def _said(line: bytes) -> str:
    text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
    if not text:
        raise NoPassphrase()
    return text


def _ask(prompt: str) -> str:
    try:
        text = getpass.getpass(prompt, sys.stderr)
    except EOFError:
        text = ""
    if not text:
        raise NoPassphrase()
    return text


def _text(path: str) -> str:
    with _readable(path) as file:
        return file.read(MAX_SECRET_BYTES).decode("utf-8", "surrogateescape")


@contextlib.contextmanager
def _readable(path: str) -> Iterator[BinaryIO]:
    try:
        file = Path(path).open("rb")
    except (OSError, ValueError) as error:
        raise Unreadable(path=printable(path), what="read", reason=getattr(error, "strerror", None) or error) from None
    with file:
        yield file
