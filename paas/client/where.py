"""Which host a command is for, and which app: what was said, else what the git remote says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paas.client.failure import BadHost
from paas.model.names import printable

# The remotes that are asked, in this order; else the first whose user is one of them.
REMOTES = ("paas", "dokku")

_HOST = re.compile(r"(?:(?P<user>[\w][\w.+-]*)@)?(?P<host>[\w][\w.-]*|\[[0-9A-Fa-f:.]+(?:%\w+)?\])(?::(?P<port>\d{1,5}))?")
_URL = re.compile(r"(?:ssh|git\+ssh)://(?P<host>[^/]+)/(?P<path>.+)")
_SHORT = re.compile(r"(?P<host>[^/:\[]+|(?:[^/:\[]+@)?\[[^\]]+\]):(?!//)(?P<path>.+)")

# What takes no app as its first argument, or not one that is there; all that ends in :help neither.
_WITHOUT_APP = """
    access access:grant access:list access:revoke apps apps:create apps:list backup:create backup:restore backup:verify
    disk:report doctor domains:add-global domains:clear-global domains:remove-global domains:set-global events events:list
    events:off events:on git-lfs-authenticate git-lfs-transfer git-receive-pack git-upload-pack git:allow-host git:auth
    git:auth-status git:generate-deploy-key git:public-key help network:create network:destroy network:exists network:info
    network:list network:rebuildall operation:cancel operation:follow operation:logs operation:steps plugin:disable plugin:enable
    plugin:install plugin:installed plugin:list plugin:uninstall plugin:update ssh-keys:add ssh-keys:list ssh-keys:remove
    ssh-keys:sync storage:create storage:destroy storage:ensure-directory storage:exec storage:info storage:list-entries
    storage:set trace:off trace:on version -v
    """
WITHOUT_APP = frozenset(_WITHOUT_APP.split())
VALUES = ("--app", "--environment", "--env")
SCOPES = ("--app", "--all", "--all-apps", "--global")


@dataclass(frozen=True)
class Host:
    """Where ssh goes; `user` and `port` None: as ssh's own configuration says."""

    name: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Host:
        """Read ``host``, ``user@host``, ``user@host:port``. Raises BadHost."""
        match = _HOST.fullmatch(text)
        port = int(match["port"]) if match and match["port"] else None
        if not match or port == 0 or (port or 0) > 65535:
            raise BadHost(host=printable(text))
        return cls(match["host"].strip("[]"), match["user"], port)

    def __str__(self) -> str:
        return f"{self.user}@{self.name}" if self.user else self.name


@dataclass(frozen=True)
class Place:
    """A host, and the app that a git remote names there; `app` empty: the words of the command say it."""

    host: Host
    app: str = ""


def said(words: Sequence[str], environment: Mapping[str, str]) -> tuple[Place | None, list[str]]:
    """The host of ``-H HOST`` or PAAS_HOST, None without one, and the words after it. Raises BadHost."""
    rest = list(words)
    if rest[:1] and rest[0].startswith("-H"):
        text = rest.pop(0)[2:] or (rest.pop(0) if rest else "")
        return Place(Host.parse(text)), rest
    text = environment.get("PAAS_HOST", "")
    return (Place(Host.parse(text)) if text else None), rest


def remote() -> Place | None:
    """What the git remote of the folder that we are in says; None without a folder or such a remote."""
    try:
        listed = subprocess.run(
            ["git", "config", "--get-regexp", r"^remote\..*\.url$"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None
    found: dict[str, Place] = {}
    for line in listed.stdout.decode("utf-8", "replace").splitlines():
        key, _, url = line.partition(" ")
        place = of_url(url)
        if place is not None:
            found.setdefault(key.removeprefix("remote.").removesuffix(".url"), place)
    for name in REMOTES:
        if name in found:
            return found[name]
    return next((place for place in found.values() if place.host.user in REMOTES), None)


def of_url(url: str) -> Place | None:
    """The host and the app of a remote that is reached by ssh, as git reads it; None for others."""
    match = _URL.fullmatch(url) or _SHORT.fullmatch(url)
    if match is None or match["host"].startswith("-"):
        return None
    try:
        host = Host.parse(match["host"])
    except BadHost:
        return None
    return Place(host, match["path"].strip("/").rpartition("/")[2].removesuffix(".git"))


def command_name(words: Sequence[str]) -> str:
    """The command among the global flags before it; empty where there is none."""
    rest = iter(words)
    for word in rest:
        if word in VALUES:
            next(rest, "")
        elif not word.startswith("--"):
            return word
    return ""


def with_app(words: Sequence[str], app: str) -> list[str]:
    """The words with the app of the git remote, where they take one and name none."""
    rest = list(words)
    name = command_name(rest)
    if not app or not name or name in WITHOUT_APP or name.endswith(":help"):
        return rest
    after = rest[rest.index(name) + 1 :]
    given = next((word for word in after if not word.startswith("-")), "")
    if given == app or any(word.partition("=")[0] in SCOPES for word in rest):
        return rest
    return ["--app", app, *rest]
