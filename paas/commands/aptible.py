"""The commands that Aptible's users know: the same work under their names, with --app and --environment."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Annotated

import typer

from paas.commands.base import AppArgument, ForceOption, FormatOption, Group, session, the_app, wants_json
from paas.deploy import changes, pipeline
from paas.deploy.containers import one_off
from paas.deploy.containers.services import (
    CMD,
    DEFAULT_SIZE_MB,
    parse_size,
    service_name,
    service_settings,
    set_flag,
    set_size,
    set_stop_timeout,
)
from paas.deploy.pipeline import NewServices
from paas.deploy.sources import direct
from paas.deploy.sources.direct import DeployRequest
from paas.errors import NotDeployed, PaasError
from paas.model.access import DEPLOY, MANAGE, VIEW, Role
from paas.model.names import ConfigKey, ProcessType, printable, whole_number
from paas.model.release import WEB
from paas.store.apps import App

deploy_group = Group("deploy", "Deploy an image, a git reference and config in one step", bare="deploy")
rebuild_group = Group("rebuild", "Pull or build again, and deploy", bare="rebuild")
restart_group = Group("restart", "Restart an app", bare="restart")
services_group = Group("services", "Show and set up an app's services", bare="services")
ssh_group = Group("ssh", "Run a shell or a command in a new container", bare="ssh")

MAX_PASSWORD_BYTES = 65536
MAX_CONTAINERS = 1000

Words = Annotated[list[str] | None, typer.Argument(metavar="[VAR=VALUE…]", show_default=False)]
ServiceArgument = Annotated[str, typer.Argument(metavar="SERVICE", show_default=False)]
Count = Annotated[str | None, typer.Option("--container-count", metavar="N", help="How many containers")]
Size = Annotated[str | None, typer.Option("--container-size", metavar="MB", help="Memory of each")]
Profile = Annotated[
    str | None, typer.Option("--container-profile", metavar="PROFILE", help="Accepted, without effect")
]


class InvalidArgument(PaasError):
    """Invalid argument: {word}"""


class InvalidCount(PaasError):
    """Invalid container count: {given}. Give a number from 0 to 1000. Nothing was changed"""


class NoSuchService(PaasError):
    """Service with type {kind} does not exist for app {app}. Valid types: {known}."""


class OomNotForced(PaasError):
    """This kills all processes of {app}, and requests with them. Nothing was changed. Add --force if that is meant"""


class NothingToScale(PaasError):
    """Provide at least --container-count, --container-size, or --container-profile"""


@deploy_group.command(":deploy", options_pass=True, needs=DEPLOY.unless(Role.MANAGE, "words", "username", "password", "email"))
def deploy(
    app: AppArgument = "",
    words: Words = None,
    docker_image: Annotated[
        str | None,
        typer.Option(
            "--docker-image", metavar="IMAGE", help='Else the stored one is pulled again; "" unsets it'
        ),
    ] = None,
    username: Annotated[
        str | None, typer.Option("--private-registry-username", metavar="USER", help="Of the registry")
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(
            "--private-registry-password", metavar="PASSWORD", help="- reads it from standard input"
        ),
    ] = None,
    email: Annotated[
        str | None, typer.Option("--private-registry-email", metavar="EMAIL", help="Accepted, without effect")
    ] = None,
    commitish: Annotated[
        str | None,
        typer.Option("--git-commitish", metavar="REF", help="A branch, tag or commit that was pushed"),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--git-detach/--no-git-detach", help="Ignore the repository from now on")
    ] = False,
    count: Count = None,
    size: Size = None,
    profile: Profile = None,
) -> None:
    """Deploy an image, a git reference and config in one step."""
    variables = _variables(words or [])
    found = the_app(app)
    request = DeployRequest(
        docker_image=docker_image,
        username=username,
        password=_password(password),
        commitish=commitish or None,
        detach=detach,
        variables=variables,
        services=NewServices(_count(count) if count else None, 1, parse_size(size) if size else None),
    )
    direct.run(session(), found, request)


def _variables(words: list[str]) -> dict[str, str]:
    """``VAR=VALUE`` words; the last one of a name counts. Raises InvalidArgument, as Aptible's client does."""
    values: dict[str, str] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or key.startswith("-") or not key:
            raise InvalidArgument(word=printable(key if key.startswith("-") and key[1:2] != "-" else word))
        values[ConfigKey.parse(key)] = value
    return values


def _password(given: str | None) -> str | None:
    if given != "-":
        return given
    return sys.stdin.read(MAX_PASSWORD_BYTES).rstrip("\r\n")


def _count(text: str) -> int:
    count = whole_number(text, 0, MAX_CONTAINERS)
    if count is None:
        raise InvalidCount(given=printable(text))
    return count


@rebuild_group.command(":rebuild", needs=DEPLOY)
def rebuild(app: AppArgument = "") -> None:
    """Pull the app's image again, or build its newest commit again, and deploy it."""
    found = the_app(app)
    session().console.step("Rebuilding app...")
    pipeline.rebuild(session(), found, "rebuild")


@restart_group.command(":restart", needs=DEPLOY)
def restart(
    app: AppArgument = "",
    simulate_oom: Annotated[
        bool, typer.Option("--simulate-oom", help="Kill the processes as running out of memory does")
    ] = False,
    force: ForceOption = False,
) -> None:
    """Replace an app's processes by new ones without losing a request."""
    found = the_app(app)
    if not found.deployed:
        raise NotDeployed(app=found.name)
    if simulate_oom and not force:
        raise OomNotForced(app=found.name)
    session().console.step("Restarting app...")
    if simulate_oom:
        changes.kill_all(session(), found)
    else:
        changes.restart(session(), found, "restart")


def service_kind(app: App, name: str) -> ProcessType:
    """The process type behind a service's name: ``cmd`` is web where there is no Procfile. Raises NoSuchService."""
    known = service_names(app)
    if name not in known and not (name == WEB and CMD in known):
        raise NoSuchService(
            kind=printable(name), app=app.name, known=", ".join(known) or "NONE (deploy the app first)"
        )
    return WEB if name == CMD else ProcessType(name)


def service_names(app: App) -> list[str]:
    """What Aptible calls the app's process types; none before the first deploy."""
    release = session().releases.find(app.id, app.current_release)
    return (
        [service_name(release.manifest, kind) for kind in sorted(release.manifest.processes)]
        if release
        else []
    )


@services_group.command(":services", needs=VIEW)
def services(app: AppArgument = "", show_format: FormatOption = "stdout") -> None:
    """List an app's services: what they run, how many and how large."""
    as_json = wants_json(show_format)
    found = the_app(app)
    release = session().releases.find(found.id, found.current_release)
    formation = session().apps.formation(found)
    rows = []
    for kind, command in sorted(release.manifest.processes.items()) if release else []:
        rows.append(
            {
                "service": service_name(release.manifest, kind) if release else kind,
                "command": command or "CMD",
                "container_count": formation.get(kind, 0),
                "container_size": service_settings(session(), found.id, kind).memory_mb or DEFAULT_SIZE_MB,
                "stop_timeout": service_settings(session(), found.id, kind).stop_seconds,
                "force_zero_downtime": service_settings(session(), found.id, kind).zero_downtime
                and kind != WEB,
            }
        )
    if as_json:
        session().console.json(rows)
        return
    for index, row in enumerate(rows):
        if index:
            session().console.print()
        for key, value in row.items():
            session().console.print(f"{key.replace('_', ' ').title()}: {value}")


@services_group.command("settings", needs=MANAGE)
def settings(
    app: AppArgument = "",
    service: ServiceArgument = "",
    force_zero_downtime: Annotated[
        bool | None,
        typer.Option("--force-zero-downtime/--no-force-zero-downtime", help="Start new before stopping old"),
    ] = None,
    simple_health_check: Annotated[
        bool | None,
        typer.Option(
            "--simple-health-check/--no-simple-health-check", help="Healthy after 30 s of staying up"
        ),
    ] = None,
    stop_timeout: Annotated[
        str | None, typer.Option("--stop-timeout", metavar="SECONDS", help="Between SIGTERM and SIGKILL")
    ] = None,
) -> None:
    """Set how a service is replaced and stopped; it counts from its next restart on."""
    found = the_app(app)
    kind = service_kind(found, service)
    if force_zero_downtime is not None:
        set_flag(session(), found.id, kind, "force-zero-downtime", force_zero_downtime)
    if simple_health_check is not None:
        set_flag(session(), found.id, kind, "simple-health-check", simple_health_check)
    if stop_timeout is not None:
        set_stop_timeout(session(), found.id, kind, stop_timeout)


def scale(app: App, service: str, count: str | None, size: str | None) -> None:
    """apps:scale: the containers of a service, how many and how large; they are replaced. Raises NoSuchService."""
    if count is None and size is None:
        raise NothingToScale()
    kind = service_kind(app, service)
    number = _count(count) if count is not None else session().apps.formation(app).get(kind, 0)
    if size is not None:
        set_size(session(), app.id, kind, parse_size(size))
    changes.scale(session(), app, {kind: number}, fresh=kind)


@ssh_group.command(":ssh", raw=True, needs=MANAGE)
def ssh(
    words: Annotated[list[str] | None, typer.Argument(metavar="APP [COMMAND…]", show_default=False)] = None,
    force_tty: Annotated[bool, typer.Option("--force-tty", help="With a terminal in any case")] = False,
) -> int:
    """Run a shell or a command in a new container of the app's current release."""
    rest = list(words or [])
    found = the_app(rest[0] if rest else "")
    line = shlex.join(rest[1:])
    command = ["/bin/sh", "-c", line] if line else list(one_off.SHELL)
    terminal = force_tty or (os.isatty(0) and os.isatty(1))
    return one_off.run(session(), found, command, one_off.Options(terminal=terminal))
