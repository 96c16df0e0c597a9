"""config:export, config:bundle and config:import — variables on their way to other programs and back."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path
from typing import Annotated

import typer

from paas.commands.base import no_more, session
from paas.commands.config import (
    AppWords,
    GlobalOption,
    MergedOption,
    NoRestartOption,
    Values,
    apply,
    group,
    masked,
    scope,
    shown,
)
from paas.deploy.sources.registry import PASSWORD_KEY, USERNAME_KEY
from paas.errors import PaasError
from paas.model import config_formats
from paas.model.access import MANAGE
from paas.model.names import printable
from paas.model.operation import MASK

MAX_IMPORT_BYTES = 4 * 1024 * 1024


class NothingToImport(PaasError):
    """No config vars to set"""


class FileNotReadable(PaasError):
    """{path} can't be read: {reason}. Nothing was changed. Pipe it instead: config:import {scope} - < FILE"""


class NotToTerminal(PaasError):
    """This prints a tar archive. Send it to a file or to tar: config:bundle APP > FILE"""


def _given_out(values: Values) -> Values:
    """Values for other programs, which a mask would mislead."""
    if PASSWORD_KEY in values:
        session().console.warn(f"{PASSWORD_KEY} is left out; it is never shown")
    return {key: value for key, value in values.items() if key != PASSWORD_KEY}


@group.command("export", needs=MANAGE)
def export(
    words: AppWords = None,
    everywhere: GlobalOption = False,
    merged: MergedOption = False,
    show_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help=", ".join(config_formats.EXPORTS))
    ] = "exports",
) -> None:
    """Print the variables for a shell, for docker or for config:import."""
    config, _, rest = scope(words, everywhere)
    no_more(rest)
    text = config_formats.export(show_format, _given_out(config.merged() if merged else config.all()))
    session().console.raw(text.encode("utf-8", "surrogateescape"))


@group.command("bundle", needs=MANAGE)
def bundle(words: AppWords = None, everywhere: GlobalOption = False, merged: MergedOption = False) -> None:
    """Print a tar archive with a file for each variable."""
    config, _, rest = scope(words, everywhere)
    no_more(rest)
    if session().console.is_terminal():
        raise NotToTerminal()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for key, value in _given_out(config.merged() if merged else config.all()).items():
            data = value.encode("utf-8", "surrogateescape")
            item = tarfile.TarInfo(key)
            item.size, item.mode = len(data), 0o600
            tar.addfile(item, io.BytesIO(data))
    session().console.raw(archive.getvalue())


@group.command("import", needs=MANAGE)
def import_values(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="APP|--global FILE|-", show_default=False)
    ] = None,
    everywhere: GlobalOption = False,
    no_restart: NoRestartOption = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove the variables that are not in it")
    ] = False,
    file_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="envfile or json")
    ] = "envfile",
) -> None:
    """Set variables from a file, or from standard input (-), as config:export prints them."""
    config, app, rest = scope(words, everywhere)
    no_more(rest[1:])
    name = rest[0] if rest else "-"
    values = config_formats.parse(file_format, _text_of(name, app.name if app else "--global"))
    if values.get(PASSWORD_KEY) == MASK:
        del values[PASSWORD_KEY]
    if not values:
        raise NothingToImport()
    for key, value in sorted(shown(values).items()):
        session().console.step(f"Setting config var {key}={value}")

    def importing(old: Values) -> None:
        # An export leaves the registry's password out; its user without it would be refused.
        kept = {key: old[key] for key in (PASSWORD_KEY,) if key in old and USERNAME_KEY in values}
        if replace:
            old.clear()
        old.update(kept | values)

    option = "--replace " if replace else ""
    apply(config, app, "config:import", option + masked(values), importing, no_restart)


def _text_of(name: str, scope: str) -> str:
    if name == "-":
        session().console.step("Reading config vars from stdin")
        data = sys.stdin.buffer.read(MAX_IMPORT_BYTES + 1)
    elif session().caller.door == "ssh":
        raise FileNotReadable(path=printable(name), reason="it is a path on the server", scope=scope)
    else:
        try:
            with Path(name).open("rb") as file:
                data = file.read(MAX_IMPORT_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no path"
            raise FileNotReadable(path=printable(name), reason=reason, scope=scope) from None
    if len(data) > MAX_IMPORT_BYTES:
        raise config_formats.UnreadableConfig(reason="it is longer than 4 MB")
    return data.decode("utf-8", "surrogateescape")
