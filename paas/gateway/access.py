"""Whether a caller may run a command: decided here and nowhere else, for every way in, before the command's code runs.

The words are those that the command itself gets, read by its own parser, so that both mean the same app.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paas.errors import AppNotFound, AppNotSpecified, PaasError
from paas.model.access import EVERYTHING, Finds, Need, Reach, Rights, Role
from paas.model.caller import Caller
from paas.model.names import AppName, printable, whole_number
from paas.model.operation import NoSuchOperation
from paas.store.access import Access, Refusals
from paas.store.database import Database

GLOBAL, ALL = "--global", "--all"


class AdminOnly(PaasError):
    """{what} is for administrators' keys, which {key} is not. Nothing was changed"""


class RoleMissing(PaasError):
    """{what} takes the role {needed} on {app}, where {key} has {role}. Nothing was changed. An administrator can change that: access:grant {key} {needed} {app}"""


@dataclass(frozen=True)
class Asked:
    """A command line as its parser reads it.

    `first` is the value of the first argument: a word or several. `values` are all parameters by name; `flags` which of
    --global and --all were given.
    """

    first: tuple[str, ...]
    values: dict[str, Any]
    flags: frozenset[str]

    @classmethod
    def of(cls, parser: Any, values: dict[str, Any]) -> Asked:
        """What a click command and the parameters of its context say."""
        arguments = [item.name for item in parser.params if item.param_type_name == "argument"]
        first = values.get(arguments[0]) if arguments else None
        words = (first,) if isinstance(first, str) else tuple(first or ())
        named = {word for item in parser.params if values.get(item.name) for word in item.opts}
        return cls(words, values, frozenset(named & {GLOBAL, ALL}))


def admit(open_database: Callable[[], Database], caller: Caller, name: str, need: Need, asked: Asked) -> Reach:
    """The apps that command `name` may touch. Raises what the caller is told who may not run it, which is recorded."""
    if caller.key_id is None:
        # Who can be the user of paas on the host has the database itself.
        return EVERYTHING
    database = open_database()
    rights = Access(database).rights(caller.key_id)
    if rights.admin:
        return EVERYTHING
    app = ""
    try:
        role = _role(caller, name, need, asked)
        app = _app(database, rights, need, asked)
        if app:
            _check(rights, role, app, caller, name)
        elif need.app != Finds.NOTHING and not need.optional and ALL not in asked.flags:
            raise AppNotSpecified()
    except AppNotSpecified:
        raise
    except PaasError as refusal:
        # A full disk must not turn a refusal into something else.
        with contextlib.suppress(PaasError):
            Refusals(database).record(caller, name, printable(app), str(refusal))
        raise
    return Reach(dict(rights.roles.values()), role)


def _role(caller: Caller, name: str, need: Need, asked: Asked) -> Role:
    """The role that this command line takes. Raises AdminOnly."""
    if need.role == Role.ADMIN or (need.hook and caller.door != "hook"):
        raise AdminOnly(what=name, key=caller.name)
    # Reports have it among their words.
    if GLOBAL in asked.flags or (need.app == Finds.REPORT and GLOBAL in asked.first):
        raise AdminOnly(what=f"{name} {GLOBAL}", key=caller.name)
    if need.no_urls and any("://" in word for word in asked.first):
        raise AdminOnly(what=f"{name} with a URL", key=caller.name)
    role = need.role
    for parameter, more in need.more:
        if asked.values.get(parameter):
            if more == Role.ADMIN:
                raise AdminOnly(what=f"{name} with {parameter.replace('_', '-')}", key=caller.name)
            role = max(role, more)
    return role


def _app(database: Database, rights: Rights, need: Need, asked: Asked) -> str:
    """The name of the app that is meant; empty for none. Raises NoSuchOperation for one that the caller can't see."""
    words = asked.first
    if need.app == Finds.NOTHING or (ALL in asked.flags and need.optional):
        return ""
    if need.app == Finds.REPORT:
        words = tuple(word for word in words if not word.startswith("--"))
    if not words or not words[0]:
        return ""
    if need.app == Finds.REPOSITORY:
        return AppName.from_repository_path(words[0])
    if need.app == Finds.OPERATION:
        number = whole_number(words[0].removeprefix("#"), 1, 2**62)
        # What is no number the command refuses.
        return _operated(database, rights, number) if number is not None else ""
    return words[0]


def _operated(database: Database, rights: Rights, number: int) -> str:
    """The app of an operation. Raises NoSuchOperation where the caller doesn't see it."""
    row = database.row("SELECT app_id FROM operations WHERE id = ?", (number,))
    for name, (app_id, _) in rights.roles.items():
        if row is not None and row["app_id"] == app_id:
            return name
    raise NoSuchOperation(id=number)


def _check(rights: Rights, role: Role, app: str, caller: Caller, name: str) -> None:
    if app not in rights.roles:
        raise AppNotFound(app=printable(app))
    has = rights.roles[app][1]
    if has < role:
        raise RoleMissing(what=name, needed=role, app=app, key=caller.name, role=has)
