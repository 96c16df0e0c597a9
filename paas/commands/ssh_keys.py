"""ssh-keys:* — who may come in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from paas.commands.access import described, parse_grants
from paas.commands.base import FormatOption, Group, recorded, session
from paas.errors import PaasError
from paas.model.names import SshKeyName, printable
from paas.store.access import Access
from paas.store.keys import Keys, NoKeyGiven

group = Group("ssh-keys", "Manage public ssh keys that are allowed to connect")

ALLOWED = "restrict,pty"
NameArgument = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]


class KeyFileUnreadable(PaasError):
    """{path} can't be read ({reason}). Nothing was changed. Pipe the key instead: ssh-keys:add {name} < FILE"""


class InvalidKeyFormat(PaasError):
    """Invalid output format specified, supported formats: json, text"""


class NoKeys(PaasError):
    """There are no keys yet. Add one with ssh-keys:add NAME FILE"""


class KeyNotNamed(PaasError):
    """Please specify the key's name"""


class NoSuchKey(PaasError):
    """There is no key named {name}. See the list with ssh-keys:list"""


@group.command("add")
def add(
    name: NameArgument = "",
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", show_default=False, help="Else standard input")
    ] = "",
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            metavar="ROLE:APP",
            help="view, deploy or manage this app, and no more; may be repeated. Without it the key is an administrator's",
        ),
    ] = None,
) -> None:
    """Let a public key in, from a file or standard input: an administrator's, unless --role says what it may do."""
    if not name:
        raise KeyNotNamed()
    key_name = SshKeyName.parse(name)
    grants = parse_grants(role or [])
    text = _key_text(name, file)
    may = " ".join(role or ["admin"])
    with recorded(None, "ssh-keys:add", f"{key_name} {may}"), session().database.transaction():
        key = Keys(session().database).add(key_name, text, grants is None)
        for app, wanted in (grants or {}).items():
            Access(session().database).grant(key, wanted, app)
    console = session().console
    console.print(key.fingerprint)
    if grants is None:
        console.warn(
            f"{key.name} is an administrator's key: it may do everything here. Limit one with --role ROLE:APP"
        )


def _key_text(name: str, file: str) -> str:
    if not file:
        if sys.stdin.isatty():
            raise NoKeyGiven()
        return sys.stdin.read(65536)
    if session().caller.door == "ssh":
        # A path of the server means nothing to somebody who comes over ssh.
        raise KeyFileUnreadable(path=printable(file), reason="it is a path on the server", name=name)
    try:
        with Path(file).open(errors="replace") as handle:
            return handle.read(65536)
    except OSError as error:
        raise KeyFileUnreadable(path=printable(file), reason=error.strerror, name=name) from None


@group.command("list")
def list_keys(name: NameArgument = "", show_format: FormatOption = "text") -> None:
    """List the keys."""
    if show_format not in ("text", "stdout", "json"):
        raise InvalidKeyFormat()
    everyone = Keys(session().database).all()
    keys = [key for key in everyone if not name or key.name == name]
    console, access = session().console, Access(session().database)
    if show_format == "json":
        console.json(
            [
                {
                    "fingerprint": key.fingerprint,
                    "name": key.name,
                    "SSHCOMMAND_ALLOWED_KEYS": ALLOWED,
                    "public-key": key.public_key,
                    "admin": key.admin,
                    "roles": {app: str(role) for app, role in access.roles(key).items()},
                }
                for key in keys
            ]
        )
        return
    if not everyone:
        raise NoKeys()
    if not keys:
        raise NoSuchKey(name=printable(name))
    for key in keys:
        console.print(f'{key.fingerprint} NAME="{key.name}" SSHCOMMAND_ALLOWED_KEYS="{ALLOWED}" ROLES="{described(key)}"')


@group.command("sync")
def sync() -> None:
    """Write the file with the keys that sshd reads anew from the database."""
    with recorded(None, "ssh-keys:sync"):
        Keys(session().database).write_authorized_keys()


@group.command("remove")
def remove(
    name: NameArgument = "",
    fingerprint: Annotated[str, typer.Option("--fingerprint", metavar="SHA256:…")] = "",
) -> None:
    """Lock a key out; fine when there is none of that name."""
    if not name and not fingerprint:
        raise KeyNotNamed()
    keys = Keys(session().database)
    key = keys.by_fingerprint(fingerprint) if fingerprint else keys.by_name(SshKeyName.parse(name))
    if key is None:
        session().console.warn(f"There is no key {printable(fingerprint or name)}; nothing was changed")
        return
    with recorded(None, "ssh-keys:remove", key.name):
        keys.remove(key)
    session().console.step(f"Removed {key.name} ({key.fingerprint})")
