"""apps:* — what apps there are."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from paas.commands.aptible import Count, Profile, ServiceArgument, Size
from paas.commands.aptible import scale as scale_service
from paas.commands.base import (
    AppArgument,
    ForceOption,
    FormatOption,
    Group,
    ReportWords,
    app_names,
    confirm,
    environment,
    environments,
    recorded,
    session,
    the_app,
    wants_json,
)
from paas.commands.properties import add_set_command, property_flags
from paas.commands.report import Flags, report
from paas.deploy import changes, deploy_lock, plugged
from paas.deploy.clone import clone as clone_app
from paas.deploy.rename import rename as rename_app
from paas.deploy.upkeep.deploy_source import deploy_source
from paas.errors import PaasError
from paas.model.access import DEPLOY, LIST, MANAGE, REPORT, VIEW
from paas.model.names import AppName, EnvironmentName
from paas.settings import host_fqdn
from paas.store.apps import App

group = Group("apps", "Manage apps", bare="apps:list")

SkipDeployOption = Annotated[bool, typer.Option("--skip-deploy", help="Leave its processes as they are")]


class NoSuchEnvironment(PaasError):
    """Specified account does not exist"""


@group.command("list", needs=LIST)
def list_apps(show_format: FormatOption = "stdout") -> None:
    """List your apps."""
    wanted = environment()
    names = app_names() if wanted is None else environments().get(wanted)
    if names is None:
        raise NoSuchEnvironment()
    console = session().console
    if wants_json(show_format):
        console.print(json.dumps(names, separators=(",", ":")))
        return
    if not names:
        console.warn("You haven't deployed any applications yet")
        return
    console.header("My Apps")
    for name in names:
        console.print(name)


@group.command("create")
def create(app: AppArgument = "") -> None:
    """Create a new app."""
    name = AppName.parse(app)
    handle = environment()
    if handle is not None:
        EnvironmentName.parse(handle)
    created = plugged.create_app(session(), name, f"in {handle}" if handle else "")
    console = session().console
    if handle is None:
        console.step(f"Creating {created.name}...")
        if not session().domains.enabled(created.id):
            console.step("Global server virtual host not set, disabling app vhost...")
        return
    session().apps.set_environment(created, handle)
    console.err.write(f"App {created.name} created!\n")
    console.print(f"Git Remote: paas@{host_fqdn()}:{handle}/{created.name}.git")


@group.command("exists", needs=VIEW)
def exists(app: AppArgument = "") -> None:
    """Check whether an app exists (exit 0 or 20)."""
    the_app(app)


@group.command("destroy", needs=MANAGE)
def destroy(app: AppArgument = "", force: ForceOption = False) -> None:
    """Permanently destroy an app."""
    found = the_app(app)
    if not force:
        confirm("app", found.name)
    _destroy(found)


@group.command("deprovision", needs=MANAGE)
def deprovision(app: AppArgument = "") -> None:
    """Permanently destroy an app, without asking, as Aptible does."""
    _destroy(the_app(app))


def _destroy(app: App) -> None:
    session().console.step(f"Destroying {app.name} (including all add-ons)")
    changes.destroy(session(), app)


@group.command("scale", needs=DEPLOY)
def scale(
    app: AppArgument = "",
    service: ServiceArgument = "",
    count: Count = None,
    size: Size = None,
    profile: Profile = None,
) -> None:
    """Set how many containers a service has, and how large they are."""
    if profile is not None and count is None and size is None:
        session().console.warn("--container-profile has no effect here; nothing was changed")
        return
    scale_service(the_app(app), service, count, size)


@group.command("rename")
def rename(old: AppArgument = "", new: AppArgument = "", skip_deploy: SkipDeployOption = False) -> None:
    """Rename an app; its default domains and repository follow."""
    found = the_app(old)
    name = AppName.parse(new)
    session().console.step(f"Renaming {found.name} to {name}")
    rename_app(session(), found, name, skip_deploy)


@group.command("clone")
def clone(
    old: AppArgument = "",
    new: AppArgument = "",
    skip_deploy: SkipDeployOption = False,
    ignore_existing: Annotated[
        bool, typer.Option("--ignore-existing", help="Exit 0 where there is such an app already")
    ] = False,
) -> None:
    """Make another app with the same config, properties, processes, repository and image."""
    found = the_app(old)
    name = AppName.parse(new)
    if ignore_existing and session().apps.find(name):
        session().console.warn("Name is already taken")
        return
    session().console.step(f"Cloning {found.name} to {name}")
    clone_app(session(), found, name, skip_deploy)


@group.command("lock", needs=DEPLOY)
def lock(app: AppArgument = "") -> None:
    """Refuse every deploy of an app until apps:unlock."""
    found = the_app(app)
    with recorded(found, "apps:lock"):
        deploy_lock.lock(session(), found)
    session().console.step("Deploy lock created")


@group.command("locked", needs=VIEW)
def locked(app: AppArgument = "") -> None:
    """Say whether an app is locked, or being deployed (exit 0 or 1)."""
    if not deploy_lock.locked(session(), the_app(app)):
        raise deploy_lock.NoDeployLock()
    session().console.print("Deploy lock exists")


@group.command("unlock", needs=DEPLOY)
def unlock(app: AppArgument = "") -> None:
    """Let an app be deployed again."""
    found = the_app(app)
    if deploy_lock.locked(session(), found):
        session().console.warn("A deploy may be in progress.")
        session().console.warn("Removing the app lock will not stop in progress deploys.")
    with recorded(found, "apps:unlock"):
        deploy_lock.unlock(session(), found)
    session().console.step("Deploy lock removed")


add_set_command(group, "app", needs=MANAGE)


@group.command("report", options_pass=True, needs=REPORT)
def app_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show since when there is an app, and what was deployed."""
    report("app", words, _flags, True, show_format, lambda: property_flags("app", None))


def _flags(app: App) -> Flags:
    source, metadata = deploy_source(session(), app)
    return property_flags("app", None) | {
        "--app-created-at": str(app.created_at),
        "--app-deploy-source": source,
        "--app-deploy-source-metadata": metadata,
        "--app-dir": str(session().repository(app).path),
        "--app-locked": str(deploy_lock.locked(session(), app)).lower(),
    }
