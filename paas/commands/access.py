"""access:* — what a key may do: everything, or what its roles on apps allow."""

from __future__ import annotations

from typing import Annotated

import typer

from paas.commands.base import AppArgument, FormatOption, Group, recorded, session, the_app, wants_json
from paas.errors import PaasError
from paas.model.access import ANYONE, Role
from paas.model.names import printable
from paas.store.access import Access
from paas.store.apps import App
from paas.store.keys import Key, Keys

group = Group("access", "Say what a key may do: everything, or view, deploy or manage an app", bare="access:list")

ADMIN_WORD = str(Role.ADMIN)
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", show_default=False, help="The key's name")]
RoleArgument = Annotated[
    str, typer.Argument(metavar="ROLE", show_default=False, help="view, deploy or manage; admin without an app")
]
MaybeApp = Annotated[str, typer.Argument(metavar="[APP]", show_default=False)]
MaybeKey = Annotated[str, typer.Argument(metavar="[KEY]", show_default=False)]


class KeyNotNamed(PaasError):
    """Please specify the key's name"""


class NoSuchKey(PaasError):
    """There is no key named {name}. See the list with ssh-keys:list"""


class IsAdmin(PaasError):
    """{name} is an administrator's key, which may do everything. Nothing was changed. Take that away first: access:revoke {name}"""


class NotWithApp(PaasError):
    """admin is no role on an app: it is everything. Nothing was changed. Leave the app out, or give view, deploy or manage"""


class InvalidGrant(PaasError):
    """Invalid role: {given}. Give ROLE:APP with view, deploy or manage, such as deploy:web, or admin. Nothing was changed"""


def find_key(name: str) -> Key:
    """Raises KeyNotNamed or NoSuchKey."""
    if not name:
        raise KeyNotNamed()
    key = Keys(session().database).by_name(name)
    if key is None:
        raise NoSuchKey(name=printable(name))
    return key


def parse_grants(words: list[str]) -> dict[App, Role] | None:
    """What ``ROLE:APP …`` gives; None for an administrator: ``admin``, or no words at all.

    Raises InvalidGrant, InvalidRole or AppNotFound.
    """
    if not words or words == [ADMIN_WORD]:
        return None
    found: dict[App, Role] = {}
    for word in words:
        role, colon, name = word.partition(":")
        if not colon:
            raise InvalidGrant(given=printable(word))
        found[the_app(name)] = Role.parse(role)
    return found


def described(key: Key) -> str:
    """``admin``, or ``view:web,deploy:worker``; ``none`` where it may do nothing."""
    roles = Access(session().database).roles(key)
    return ADMIN_WORD if key.admin else ",".join(f"{role}:{app}" for app, role in roles.items()) or "none"


@group.command("grant")
def grant(key: KeyArgument = "", role: RoleArgument = "", app: AppArgument = "") -> None:
    """Let a key view, deploy or manage an app, instead of the role that it had there; or make it an administrator's."""
    found, access = find_key(key), Access(session().database)
    if role == ADMIN_WORD:
        if app:
            raise NotWithApp()
        with recorded(None, "access:grant", f"{found.name} {role}"):
            access.set_admin(found, True)
        session().console.step(f"{found.name} may do everything, on this host and with every app")
        return
    wanted = Role.parse(role)
    if found.admin:
        raise IsAdmin(name=found.name)
    target = the_app(app)
    with recorded(target, "access:grant", f"{found.name} {wanted}"):
        access.grant(found, wanted, target)
    session().console.step(f"{found.name} has the role {wanted} on {target.name}")


@group.command("revoke")
def revoke(key: KeyArgument = "", app: MaybeApp = "") -> None:
    """Take a key's role on an app away; without an app all its roles, or that it is an administrator's."""
    found, access = find_key(key), Access(session().database)
    if not app:
        with recorded(None, "access:revoke", found.name):
            access.set_admin(found, False)
        session().console.step(f"{found.name} may do nothing now. Give it a role: access:grant {found.name} ROLE APP")
        if not any(item.admin for item in Keys(session().database).all()):
            session().console.warn("No key is an administrator's any more: that takes the host's own paas from now on")
        return
    target = the_app(app)
    if found.admin:
        raise IsAdmin(name=found.name)
    with recorded(target, "access:revoke", found.name):
        had = access.revoke(found, target)
    if had:
        session().console.step(f"{found.name} has no role on {target.name} any more")
    else:
        session().console.warn(f"{found.name} has no role on {target.name}; nothing was changed")


@group.command("list", needs=ANYONE)
def list_access(key: MaybeKey = "", show_format: FormatOption = "stdout") -> None:
    """List what keys may do; who is no administrator sees the own key."""
    as_json = wants_json(show_format)
    keys = _visible(key)
    if as_json:
        session().console.json([_json(item) for item in keys])
        return
    rows = [("Key", "Role", "App")]
    for item in keys:
        roles = Access(session().database).roles(item)
        rows += [(item.name, str(role), app) for app, role in roles.items()]
        if not roles:
            rows.append((item.name, "admin", "(everything)") if item.admin else (item.name, "none", ""))
    session().console.table(rows)


def _visible(name: str) -> list[Key]:
    """The keys that are asked for and that the caller may know. Raises NoSuchKey."""
    keys = Keys(session().database).all()
    if not session().reach.everything:
        keys = [key for key in keys if key.id == session().caller.key_id]
    if not name:
        return keys
    found = [key for key in keys if key.name == name]
    if not found:
        raise NoSuchKey(name=printable(name))
    return found


def _json(key: Key) -> dict[str, object]:
    roles = Access(session().database).roles(key)
    return {"key": key.name, "admin": key.admin, "roles": {app: str(role) for app, role in roles.items()}}
