"""config:* — environment variables of an app or, with --global, of all apps."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Annotated

import typer

from paas.commands.aptible import InvalidArgument
from paas.commands.base import (
    FormatOption,
    Group,
    aptible_style,
    no_more,
    recorded,
    scoped,
    session,
    wants_json,
)
from paas.deploy import changes
from paas.deploy.sources.registry import PASSWORD_KEY, PLATFORM_KEYS
from paas.errors import REFUSED, PaasError, UsageError
from paas.model import config_formats
from paas.model.access import MANAGE, VIEW
from paas.model.names import ConfigKey, printable
from paas.model.operation import MASK
from paas.store.apps import App
from paas.store.config import Config
from paas.store.properties import GLOBAL

group = Group("config", "Manage global and app-specific config vars", bare="config:bare")

GlobalOption = Annotated[bool, typer.Option("--global", help="The variables that all apps get")]
MergedOption = Annotated[bool, typer.Option("--merged", help="With the global ones")]
NoRestartOption = Annotated[
    bool, typer.Option("--no-restart", help="Store only; used from the next release on")
]
EncodedOption = Annotated[bool, typer.Option("--encoded", help="The values are base64")]
Words = Annotated[list[str] | None, typer.Argument(metavar="APP KEY…", show_default=False)]
AppWords = Annotated[list[str] | None, typer.Argument(metavar="APP|--global", show_default=False)]

Values = dict[str, str]
Change = Callable[[Values], None]


class NoPairs(PaasError):
    """At least one env pair must be given"""


class InvalidPair(PaasError):
    """Invalid env pair: {text}"""


class InvalidBase64(PaasError):
    """The value for key '{key}' is not base64. Nothing was changed"""


class NoKeys(PaasError):
    """At least one key must be given"""


class KeyExpected(PaasError):
    """Expected: key"""


def scope(words: list[str] | None, everywhere: bool) -> tuple[Config, App | None, list[str]]:
    """The variables that are meant, their app (None: global), and the words left over."""
    app, rest = scoped(words, everywhere)
    return Config(session().database, app.id if app else GLOBAL), app, rest


def shown(values: Values) -> Values:
    """Values as they may be seen: a registry's password is only ever used."""
    return {key: MASK if key == PASSWORD_KEY else value for key, value in values.items()}


def apply(
    config: Config, app: App | None, kind: str, words: str, change: Change, no_restart: bool = False
) -> None:
    """Change the variables of an app, which gets a release with them, or of all apps, which is only stored."""
    if app is not None:
        changes.change_config(session(), app, kind, words, change, not no_restart)
        return
    with recorded(None, kind, f"--global {words}".strip()), session().database.transaction():
        values = config.all()
        change(values)
        config.replace(values)


@group.command("bare", hidden=True, needs=MANAGE)
def bare(words: Words = None, everywhere: GlobalOption = False, show_format: FormatOption = "stdout") -> None:
    """`config APP` as Dokku shows it, `config --app APP` as Aptible does."""
    if not aptible_style():
        show(words, everywhere, show_format=show_format)
        return
    config, _, rest = scope(words, False)
    no_more(rest)
    values = shown(config.all())
    if wants_json(show_format):
        rows = [
            {"key": key, "value": value, "shell_export": f"{key}={escaped(value)}"}
            for key, value in values.items()
        ]
        session().console.json(rows)
        return
    for key, value in values.items():
        session().console.print(f"{key}={escaped(value)}")


def escaped(value: str) -> str:
    """As a shell reads it, one backslash a special character (Ruby's Shellwords, which Aptible's client uses)."""
    if not value:
        return "''"
    return re.sub(r"[^A-Za-z0-9_\-.,:+/@\n]", lambda match: "\\" + match[0], value).replace("\n", "'\n'")


@group.command("show", needs=MANAGE)
def show(
    words: AppWords = None,
    everywhere: GlobalOption = False,
    merged: MergedOption = False,
    show_format: FormatOption = "stdout",
) -> None:
    """Show the variables of an app."""
    config, app, rest = scope(words, everywhere)
    no_more(rest)
    values = shown(config.merged() if merged else config.all())
    if wants_json(show_format):
        session().console.json(values)
        return
    session().console.header(f"{app.name if app else 'global'} env vars")
    session().console.print(config_formats.aligned(values))


@group.command("get", needs=MANAGE)
def get(
    words: Words = None,
    everywhere: GlobalOption = False,
    quoted: Annotated[bool, typer.Option("--quoted", help="Quote for a shell")] = False,
) -> int:
    """Print one value; exit 1 without output where it is not set."""
    config, _, keys = scope(words, everywhere)
    if not keys:
        raise KeyExpected()
    if len(keys) > 1:
        raise PaasError(f"Unexpected argument(s): [{printable(' '.join(keys[1:]))}]")
    value = shown({keys[0]: config.get(keys[0]) or ""})[keys[0]]
    if config.get(keys[0]) is None:
        if not aptible_style():
            return REFUSED
        # Aptible prints an empty line and succeeds.
        value = ""
    session().console.print(config_formats.single_quoted(value) if quoted else value)
    return 0


@group.command("keys", needs=VIEW)
def keys(words: AppWords = None, everywhere: GlobalOption = False, merged: MergedOption = False) -> None:
    """List the names of the variables."""
    config, _, rest = scope(words, everywhere)
    no_more(rest)
    for key in config.merged() if merged else config.keys():
        session().console.print(key)


def masked(values: Values) -> str:
    """As an operation's words."""
    return " ".join(f"{key}={MASK}" for key in values)


@group.command("set", "add", options_pass=True, needs=MANAGE)
def set_values(
    words: Words = None,
    everywhere: GlobalOption = False,
    no_restart: NoRestartOption = False,
    encoded: EncodedOption = False,
) -> None:
    """Set variables; a running app gets a new release with them, or keeps the old ones when that fails."""
    config, app, pairs = scope(words, everywhere)
    if not pairs:
        raise NoPairs()
    values = dict(_pair(text, encoded) for text in pairs)
    # Aptible's users unset with an empty value; the platform's own variables mean nothing when empty.
    removed = [
        key for key, value in values.items() if not value and (aptible_style() or key in PLATFORM_KEYS)
    ]
    session().console.step("Setting config vars")
    session().console.print(config_formats.aligned(shown(values), indent=" " * 7))

    def setting(old: Values) -> None:
        old.update(values)
        for key in removed:
            del old[key]

    apply(config, app, "config:set", masked(values), setting, no_restart)


def _pair(text: str, encoded: bool) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    _no_option(key)
    if aptible_style() and not separator:
        raise InvalidArgument(word=printable(text))
    if not separator:
        raise InvalidPair(text=printable(text))
    ConfigKey.parse(key)
    if "\0" in value:
        raise InvalidPair(text=f"{key}=… (it holds a NUL byte)")
    return key, _decode(key, value) if encoded else value


def _no_option(word: str) -> None:
    """Refuse what looks like an option that we don't know."""
    if word.startswith("-") and aptible_style():
        raise InvalidArgument(word=printable(word))
    if word.startswith("-"):
        raise UsageError(f"No such option: {printable(word)}")


def _decode(key: str, value: str) -> str:
    import base64
    import binascii

    try:
        return base64.b64decode(value, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        raise InvalidBase64(key=key) from None


@group.command("unset", "rm", options_pass=True, needs=MANAGE)
def unset(words: Words = None, everywhere: GlobalOption = False, no_restart: NoRestartOption = False) -> None:
    """Remove variables."""
    config, app, names = scope(words, everywhere)
    if not names:
        raise NoKeys()
    known = set(config.keys())
    for word in names:
        _no_option(word)
    if aptible_style():
        # VAR=whatever names VAR, for Aptible's client.
        names = [word.partition("=")[0] for word in names]
    for key in names:
        ConfigKey.parse(key)
        if key in known:
            session().console.step(f"Unsetting {key}")
        else:
            session().console.step(f"Skipping {key}, it is not set in the environment")

    def remove(values: Values) -> None:
        for key in names:
            values.pop(key, None)

    if known & set(names):
        apply(config, app, "config:unset", shlex.join(names), remove, no_restart)


@group.command("clear", needs=MANAGE)
def clear(
    words: AppWords = None, everywhere: GlobalOption = False, no_restart: NoRestartOption = False
) -> None:
    """Remove all variables."""
    config, app, rest = scope(words, everywhere)
    no_more(rest)
    names = config.keys()
    for key in names:
        session().console.step(f"Unsetting {key}")
    if names:
        apply(config, app, "config:clear", "", Values.clear, no_restart)
