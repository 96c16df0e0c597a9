"""git:auth, git:allow-host, git:public-key … — how this machine is known to the servers of private repositories."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from paas.commands.base import recorded, session
from paas.commands.git import group
from paas.errors import PaasError
from paas.model.git_url import parse_host
from paas.store.git_auth import DeployKey, GitAuth

HostArgument = Annotated[str, typer.Argument(metavar="HOST", show_default=False, help="The server's name")]
UserArgument = Annotated[str, typer.Argument(metavar="[USER", show_default=False)]
PasswordArgument = Annotated[
    str, typer.Argument(metavar="[PASSWORD]]", show_default=False, help="Better on standard input")
]


class NoHost(PaasError):
    """Please supply a git host"""


class NoPassword(PaasError):
    """Missing password for netrc auth entry"""


class NoDeployKey(PaasError):
    """There is no deploy key associated with the paas user.
    Generate an ssh key with the following command:
      paas git:generate-deploy-key
    As an alternative, configure the netrc authentication via the git:auth command"""


@group.command("auth")
def auth(host: HostArgument = "", user: UserArgument = "", password: PasswordArgument = "") -> None:
    """Store the name and password for a host's https URLs, or remove them. The password is read from a pipe."""
    accounts = GitAuth(session().properties)
    host = _host(host)
    if not user:
        with recorded(None, "git:auth", host):
            accounts.remove(host)
        session().console.step_header(f"Removing netrc auth entry for host {host}")
        return
    password = password or _piped()
    with recorded(None, "git:auth", host):
        accounts.set(host, user, password)
    session().console.step_header(f"Setting netrc auth entry for host {host}")


@group.command("auth-status")
def auth_status(host: HostArgument = "", user: UserArgument = "", password: PasswordArgument = "") -> int:
    """Exit 0 if just this name and password are stored for a host; without a name, if none are."""
    found = GitAuth(session().properties).find(_host(host))
    if not user:
        return 0 if found is None else 1
    password = password or _piped()
    return 0 if found and (found.user, found.password) == (user, password) else 1


@group.command("allow-host")
def allow_host(host: HostArgument = "") -> None:
    """Trust the ssh host keys that a server shows now."""
    host = _host(host)
    with recorded(None, "git:allow-host", host):
        found = DeployKey(session().settings).allow(host)
    for kind, fingerprint in found:
        session().console.detail(f"{fingerprint} ({kind})")
    session().console.step(f"{host} added to known hosts")


@group.command("generate-deploy-key")
def generate_deploy_key() -> None:
    """Make the ssh key with which private repositories are read."""
    if not DeployKey(session().settings).generate():
        session().console.print(" !     A deploy key already exists for this host")
        return
    session().console.step("Generated a deploy key. git:public-key shows what its remotes need")


@group.command("public-key")
def public_key() -> None:
    """Show the public half of the deploy key."""
    key = DeployKey(session().settings).read()
    if key is None:
        raise NoDeployKey()
    session().console.print(key)


def _host(given: str) -> str:
    """Checked before it is recorded: what is no host may be a URL with a password. Raises NoHost, InvalidHost."""
    if not given:
        raise NoHost()
    name, port = parse_host(given)
    return f"{name}:{port}" if port else name


def _piped() -> str:
    """The password on standard input. Raises NoPassword."""
    password = "" if sys.stdin.isatty() else sys.stdin.readline(65536).rstrip("\r\n")
    if not password:
        raise NoPassword()
    return password
