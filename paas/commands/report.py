"""The report engine: every `GROUP:report [APP] [--flag] [--format json]` prints through here.

Shapes as Dokku's (reference section 3.1): sorted flags, labels padded to the widest flag, JSON of strings.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from paas.commands.base import session, the_app, wants_json
from paas.errors import PaasError
from paas.store.apps import App

MINIMUM_WIDTH = 31
INDENT = " " * 7

Flags = dict[str, str]


class InvalidFlag(PaasError):
    """Invalid flag passed, valid flags: {flags}"""


class FormatWithFlag(PaasError):
    """--format flag cannot be specified when specifying an info flag"""


def report(
    kind: str,
    words: list[str],
    flags_of: Callable[[App], Flags],
    legacy: bool = False,
    show_format: str = "stdout",
) -> None:
    """Print the report that `words` (``[APP] [--flag]``) ask for.

    `flags_of` gives an app's values by flag (``--ps-restart-policy``). `legacy` reports repeat each JSON key
    with the kind in front.
    """
    as_json = wants_json(show_format)
    names = [word for word in words if not word.startswith("--")]
    asked = [word for word in words if word.startswith("--")]
    if asked and as_json:
        raise FormatWithFlag()
    apps = [the_app(names[0])] if names else session().apps.all()
    if not apps:
        session().console.warn("You haven't deployed any applications yet")
    for app in apps:
        flags = dict(sorted(flags_of(app).items()))
        if asked:
            if asked[0] not in flags:
                raise InvalidFlag(flags=", ".join(flags))
            session().console.print(flags[asked[0]])
        elif as_json:
            session().console.print(_json(kind, flags, legacy))
        else:
            _print(kind, app, flags)


def _print(kind: str, app: App, flags: Flags) -> None:
    console = session().console
    console.header(f"{app.name} {kind} information")
    width = max([MINIMUM_WIDTH, *map(len, flags)])
    for flag, value in flags.items():
        label = flag.removeprefix("--").replace("-", " ").replace(".", " ")
        label = label[:1].upper() + label[1:] + ":"
        console.print(f"{INDENT}{label.ljust(width)}{value}")


def _json(kind: str, flags: Flags, legacy: bool) -> str:
    values: dict[str, str] = {}
    for flag, value in flags.items():
        whole = flag.removeprefix("--")
        short = whole.removeprefix(f"{kind}-")
        values[short] = value
        if legacy:
            values[whole] = value
    text = json.dumps(dict(sorted(values.items())), separators=(",", ":"), ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
