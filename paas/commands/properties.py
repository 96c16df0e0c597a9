"""`GROUP:set APP|--global KEY [VALUE]` and the lines that a report prints for each key: one mechanism for all groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from paas.commands.base import GlobalOption, Group, recorded, scoped, session
from paas.commands.report import Flags
from paas.errors import PaasError
from paas.model.access import ADMIN, Need
from paas.model.properties import APP, BOTH, GLOBAL_ONLY, NAMESPACES
from paas.store.apps import App
from paas.store.properties import GLOBAL

KeyValue = Annotated[
    list[str] | None, typer.Argument(metavar="APP|--global KEY [VALUE]", show_default=False)
]


class NoProperty(PaasError):
    """No {word} specified"""


class InvalidProperty(PaasError):
    """Invalid {word} specified, valid {words} include: {keys}"""


class NotGlobal(PaasError):
    """Property cannot be specified globally"""


class OnlyGlobal(PaasError):
    """Property can only be specified globally"""


def add_set_command(
    group: Group,
    namespace: str,
    word: str = "property",
    default_key: str = "",
    store: Callable[[int, str, str], None] | None = None,
    needs: Need = ADMIN,
) -> None:
    """Register `GROUP:set`, which sets or, without a value, unsets what `namespace` declares.

    `word` is what this group calls a property in its errors (Dokku's git group: key). A single word that is no key is
    the value of `default_key`. `store` (app id or GLOBAL, key, value) is for what takes more than keeping it. `needs`: who may, as of any command.
    """
    declared = NAMESPACES[namespace]

    def set_property(words: KeyValue = None, everywhere: GlobalOption = False) -> None:
        app, rest = scoped(words, everywhere)
        key, value = (*rest, "", "")[:2]
        # What is typed unquoted over ssh arrives as several words.
        value = " ".join(rest[1:]) if len(rest) > 2 else value
        if default_key and len(rest) == 1 and key not in declared:
            key, value = default_key, key
        if not key:
            raise NoProperty(word=word)
        if key not in declared:
            plural = "properties" if word == "property" else f"{word}s"
            raise InvalidProperty(word=word, words=plural, keys=", ".join(sorted(declared)))
        item = declared[key]
        if app is None and item.scope == APP:
            raise NotGlobal()
        if app is not None and item.scope == GLOBAL_ONLY:
            raise OnlyGlobal()
        stored = item.parse(value) if value else ""
        with recorded(app, f"{group.name}:set", f"{key} {stored}".rstrip()):
            scope = app.id if app else GLOBAL
            if store:
                store(scope, key, stored)
            else:
                session().properties.set(scope, namespace, key, stored, item.keeps_empty)
        session().console.header(f"Setting {key} to {stored}" if stored else f"Unsetting {key}")

    set_property.__doc__ = f"Set or clear a {group.name} property of an app or of all: {', '.join(sorted(declared))}."
    group.command("set", needs=needs)(set_property)


def property_flags(namespace: str, app: App | None, *keys: str) -> Flags:
    """For each declared key (or those named) what is set for the app, globally, and what counts in the end."""
    flags: Flags = {}
    properties = session().properties
    for key, item in NAMESPACES[namespace].items():
        if keys and key not in keys:
            continue
        if item.scope in (BOTH, GLOBAL_ONLY):
            flags[f"--{namespace}-global-{key}"] = properties.get(GLOBAL, namespace, key)
        if app is None:
            if item.scope == BOTH:
                flags[f"--{namespace}-computed-{key}"] = properties.computed(GLOBAL, namespace, key)
            continue
        if item.scope in (BOTH, APP):
            flags[f"--{namespace}-{key}"] = properties.get(app.id, namespace, key)
            flags[f"--{namespace}-computed-{key}"] = properties.computed(app.id, namespace, key)
    return flags


