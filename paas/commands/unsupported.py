"""Commands of Dokku that paas does not have: what each of them answers, and what docs/dokku.md says about it."""

from __future__ import annotations

from paas.console import Console
from paas.errors import REFUSED, printable

BUILDPACKS = "paas builds Dockerfiles and does not use {what}. Add a Dockerfile, or deploy an image with git:from-image"
PROXY = "the router of paas is its own HAProxy, which needs no settings of {what}. Use domains:*, ports:* and proxy:report"
PLUGINS = "plugins of paas are Python packages that are loaded, not programs that are run. See docs/plugins.md"
PORTS = "it has been ports:{what} for a long time. Use that"
CERTS = "Dokku has never had it either. Use certs:add, certs:update and certs:show"
VECTOR = "paas starts no log shipper. Set the engine's log driver, or read with logs APP -t"
K3S = "it is about Kubernetes, and paas runs apps on one machine. There is nothing to set"

# By group, or by whole command: why not, and what to use instead.
UNSUPPORTED: dict[str, str] = {
    "buildpacks": BUILDPACKS.format(what="buildpacks"),
    "builder-herokuish": BUILDPACKS.format(what="Heroku's buildpacks"),
    "builder-lambda": BUILDPACKS.format(what="lambda.yml"),
    "builder-nixpacks": BUILDPACKS.format(what="Nixpacks"),
    "builder-null": "it builds nothing. Deploy an image that is built with git:from-image or git:load-image",
    "builder-pack": BUILDPACKS.format(what="Cloud Native Buildpacks"),
    "builder-railpack": BUILDPACKS.format(what="Railpack"),
    "scheduler-k3s": "paas runs apps on one machine with Docker. Use scheduler-docker-local:*",
    "scheduler-null": "it would run nothing. Use ps:stop, or ps:set APP skip-deploy true",
    "caddy": PROXY.format(what="Caddy"),
    "haproxy": PROXY.format(what="Dokku's HAProxy"),
    "nginx": PROXY.format(what="nginx"),
    "openresty": PROXY.format(what="OpenResty"),
    "traefik": PROXY.format(what="Traefik"),
    "certs:chain": CERTS,
    "certs:key": CERTS,
    "certs:rollback": CERTS,
    "logs:vector-logs": VECTOR,
    "logs:vector-start": VECTOR,
    "logs:vector-stop": VECTOR,
    "plugin:install-dependencies": PLUGINS,
    "plugin:trigger": PLUGINS,
    "proxy:ports": PORTS.format(what="list"),
    "proxy:ports-add": PORTS.format(what="add"),
    "proxy:ports-clear": PORTS.format(what="clear"),
    "proxy:ports-remove": PORTS.format(what="remove"),
    "proxy:ports-set": PORTS.format(what="set"),
    "shell": "each command comes by itself. Use your own shell: ssh paas@HOST COMMAND",
    "storage:annotations": K3S,
    "storage:labels": K3S,
    "storage:migrate": "there is nothing to bring over. Every mount is what storage:list shows",
    "storage:wait": K3S,
}


def reason(name: str) -> str | None:
    """Why a command is not there and what to use instead; None for what Dokku has not either."""
    words = name.split(":")
    return next(
        (found for end in range(len(words), 0, -1) if (found := UNSUPPORTED.get(":".join(words[:end])))), None
    )


def refuse(name: str, why: str, console: Console) -> int:
    """The answer of all of them: one line, and exit code 1."""
    console.warn(f"{printable(name)} is not a part of paas: {why}")
    return REFUSED
