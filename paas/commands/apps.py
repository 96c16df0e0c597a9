"""apps:* — what apps there are."""

from __future__ import annotations

import json

from paas.commands.base import AppArgument, ForceOption, FormatOption, Group, session, the_app, wants_json
from paas.deploy import pipeline
from paas.deploy.rename import rename as rename_app
from paas.errors import PaasError
from paas.model.names import AppName

group = Group("apps", "Manage apps", bare="apps:list")


class NotConfirmed(PaasError):
    """Confirmation did not match {app}. Aborted."""


@group.command("list")
def list_apps(show_format: FormatOption = "stdout") -> None:
    """List your apps."""
    names = session().apps.names()
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
    created = session().apps.create(name)
    session().console.step(f"Creating {created.name}...")


@group.command("exists")
def exists(app: AppArgument = "") -> None:
    """Check whether an app exists (exit 0 or 20)."""
    the_app(app)


@group.command("destroy")
def destroy(app: AppArgument = "", force: ForceOption = False) -> None:
    """Permanently destroy an app."""
    found = the_app(app)
    if not force:
        _confirm(found.name)
    session().console.step(f"Destroying {found.name} (including all add-ons)")
    pipeline.destroy(session(), found)


def _confirm(name: str) -> None:
    console = session().console
    console.warn("WARNING: Potentially Destructive Action")
    console.warn(f"This command will destroy app {name}.")
    console.warn(f'To proceed, type "{name}"')
    console.out.write("> ")
    console.out.flush()
    try:
        answer = input()
    except EOFError:
        answer = ""
    if answer.strip() != name:
        raise NotConfirmed(app=name)


@group.command("rename")
def rename(old: AppArgument = "", new: AppArgument = "") -> None:
    """Rename an app; its default domains and repository follow."""
    found = the_app(old)
    name = AppName.parse(new)
    session().console.step(f"Renaming {found.name} to {name}")
    rename_app(session(), found, name)
