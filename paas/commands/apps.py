"""apps:* — what apps there are."""

from __future__ import annotations

import json

from paas.commands.aptible import Count, Profile, ServiceArgument, Size
from paas.commands.aptible import scale as scale_service
from paas.commands.base import (
    AppArgument,
    ForceOption,
    FormatOption,
    Group,
    confirm,
    environment,
    session,
    the_app,
    wants_json,
)
from paas.deploy import changes
from paas.deploy.rename import rename as rename_app
from paas.errors import PaasError
from paas.model.names import AppName, EnvironmentName
from paas.settings import host_fqdn
from paas.store.apps import App

group = Group("apps", "Manage apps", bare="apps:list")


class NoSuchEnvironment(PaasError):
    """Specified account does not exist"""


@group.command("list")
def list_apps(show_format: FormatOption = "stdout") -> None:
    """List your apps."""
    wanted = environment()
    names = session().apps.names() if wanted is None else session().apps.environments().get(wanted)
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
    created = session().apps.create(name)
    console = session().console
    if handle is None:
        console.step(f"Creating {created.name}...")
        return
    session().apps.set_environment(created, handle)
    console.err.write(f"App {created.name} created!\n")
    console.print(f"Git Remote: paas@{host_fqdn()}:{handle}/{created.name}.git")


@group.command("exists")
def exists(app: AppArgument = "") -> None:
    """Check whether an app exists (exit 0 or 20)."""
    the_app(app)


@group.command("destroy")
def destroy(app: AppArgument = "", force: ForceOption = False) -> None:
    """Permanently destroy an app."""
    found = the_app(app)
    if not force:
        confirm("app", found.name)
    _destroy(found)


@group.command("deprovision")
def deprovision(app: AppArgument = "") -> None:
    """Permanently destroy an app, without asking, as Aptible does."""
    _destroy(the_app(app))


def _destroy(app: App) -> None:
    session().console.step(f"Destroying {app.name} (including all add-ons)")
    changes.destroy(session(), app)


@group.command("scale")
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
def rename(old: AppArgument = "", new: AppArgument = "") -> None:
    """Rename an app; its default domains and repository follow."""
    found = the_app(old)
    name = AppName.parse(new)
    session().console.step(f"Renaming {found.name} to {name}")
    rename_app(session(), found, name)
