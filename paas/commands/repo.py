"""repo:* — what the apps' repositories and build folders take up on the disk."""

from __future__ import annotations

from paas.commands.base import AppArgument, Group, session, the_app
from paas.deploy.upkeep import housekeeping
from paas.model.access import DEPLOY

group = Group("repo", "Manage the apps' repositories")


@group.command("gc", needs=DEPLOY)
def gc(app: AppArgument = "") -> None:
    """Pack the app's repository, and drop what no branch or tag needs any more."""
    housekeeping.collect_garbage(session(), the_app(app))


@group.command("purge-cache", needs=DEPLOY)
def purge_cache(app: AppArgument = "") -> None:
    """Let the next build of an app begin with nothing: no cached steps, no mounted caches, no submodules."""
    housekeeping.purge_cache(session(), the_app(app))
