"""The report engine: every `GROUP:report [APP|--global] [--flag] [--format json]` prints through here.

Shapes as Dokku's (reference section 3.1): sorted flags, labels padded to the widest flag, JSON of strings.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from paas.commands.base import (
    every_app,
    no_more,
    session,
    the_app,
    wants_json,
)
from paas.errors import PaasError, printable
from paas.store.apps import App

MINIMUM_WIDTH = 31
# Dokku's report of these begins its labels as the flags are.
LOWER_CASE = ("resource",)
INDENT = " " * 7

Flags = dict[str, str]


class Several(str):
    """A value that is a list: shown with spaces between its items; JSON has them also one by one, under ``KEY-list``."""

    items: list[str]

    @classmethod
    def of(cls, items: list[str]) -> Several:
        made = cls(" ".join(items))
        made.items = items
        return made


class Aside(str):
    """A value that only its flag and JSON show: Dokku's text has no such line."""


class InvalidFlag(PaasError):
    """Invalid flag passed, valid flags: {flags}"""


class FormatWithFlag(PaasError):
    """--format flag cannot be specified when specifying an info flag"""


class TwoFlags(PaasError):
    """Only one info flag can be given at a time: {flags}"""


def report(
    kind: str,
    words: list[str] | None,
    flags_of: Callable[[App], Flags],
    legacy: bool = False,
    show_format: str = "stdout",
    global_flags: Callable[[], Flags] = dict,
    before: Callable[[list[App]], None] = lambda apps: None,
) -> None:
    """Print the report that `words` (``[APP|--global] [--flag]``) ask for.

    `flags_of` gives an app's values by flag (``--ps-restart-policy``), `global_flags` those of --global. `legacy`
    reports repeat each JSON key with the kind in front. `kind` is the word of the headline and the flags' prefix. `before`
    is told which apps it will be, so that what they have in common is looked up once.
    """
    as_json = wants_json(show_format)
    words = words or []
    names = [word for word in words if not word.startswith("--")]
    asked = [word for word in words if word.startswith("--") and word != "--global"]
    if asked and as_json:
        raise FormatWithFlag()
    if len(asked) > 1:
        raise TwoFlags(flags=printable(", ".join(asked)))
    no_more(names[1:])
    if "--global" in words:
        _show(kind, "--global", global_flags(), asked, as_json, legacy)
        return
    apps = [the_app(names[0])] if names else every_app()
    if not apps:
        session().console.warn("You haven't deployed any applications yet")
    before(apps)
    for app in apps:
        _show(kind, app.name, flags_of(app), asked, as_json, legacy)


def _show(kind: str, name: str, found: Flags, asked: list[str], as_json: bool, legacy: bool) -> None:
    flags = dict(sorted(found.items()))
    if asked:
        if asked[0] not in flags:
            raise InvalidFlag(flags=", ".join(flags))
        session().console.print(flags[asked[0]])
    elif as_json:
        session().console.print(_json(kind, flags, legacy))
    else:
        _print(kind, name, flags)


def _print(kind: str, name: str, flags: Flags) -> None:
    console = session().console
    console.header(f"{name} {kind} information")
    # A process's status flag does not widen the others: as many as there are, the rest stays where it was.
    width = max([MINIMUM_WIDTH, *(len(flag) for flag in flags if not flag.startswith("--status-"))])
    for flag, value in flags.items():
        if isinstance(value, Aside):
            continue
        label = _label(flag)
        if kind not in LOWER_CASE:
            label = label[:1].upper() + label[1:]
        console.print(f"{INDENT}{label + ':':<{width}}{value}")


def _label(flag: str) -> str:
    words = flag.removeprefix("--")
    # What the status of a domain is under keeps its dots and dashes.
    status, _, domain = words.partition("-")
    if status == "status" and "." in domain and not domain.rpartition(".")[2].isdigit():
        return f"{status} {domain}"
    return words.replace("-", " ").replace(".", " ")


def _json(kind: str, flags: Flags, legacy: bool) -> str:
    values: dict[str, str | list[str]] = {}
    for flag, value in flags.items():
        whole = flag.removeprefix("--")
        short = whole.removeprefix(f"{kind}-")
        for key in (short, whole) if legacy else (short,):
            values[key] = value
            if isinstance(value, Several):
                values[f"{key}-list"] = value.items
    text = json.dumps(dict(sorted(values.items())), separators=(",", ":"), ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
