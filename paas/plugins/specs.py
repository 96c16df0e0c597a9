"""The hooks: what paas asks plugins, and when. A plugin takes part by a function of the same name, marked `hookimpl`,
with those of the arguments that it needs. docs/plugins.md has a paragraph on each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from paas.plugins import hookspec

if TYPE_CHECKING:
    from paas.commands.base import Group
    from paas.deploy.session import Session
    from paas.model.names import AppName, ProcessType
    from paas.model.release import Release
    from paas.router.routes import Route
    from paas.store.apps import App


@hookspec
def paas_command_groups() -> Sequence[Group]:
    """The groups of commands that the plugin adds."""
    return ()


@hookspec
def paas_routes(session: Session, app: App | None) -> Mapping[int, Callable[[Route], Route]]:
    """How apps' routes differ because of the plugin: by app id a function that gets the route and returns another one.

    `app`: the only one that matters now, None for all. Asked whenever the router is brought in step, so it has to be
    quick: one query, however many apps there are (`session.properties.by_app`). A domain that another app has is not taken from it.
    """
    return {}


@hookspec
def paas_container_options(
    session: Session, app: App, phase: str, process_type: ProcessType | None
) -> Sequence[str]:
    """More words of `docker run` for an app's containers. `phase`: build, deploy (of one process type) or run."""
    return ()


@hookspec
def paas_before_deploy(session: Session, app: App) -> None:
    """Before anything is built. A PaasError refuses the deploy; the app stays as it is."""


@hookspec
def paas_after_deploy(session: Session, app: App, release: Release) -> None:
    """The release serves. An error is told to the caller and changes nothing."""


@hookspec
def paas_app_created(session: Session, app: App) -> None:
    """There is a new app (apps:create, or a first push). An error undoes it."""


@hookspec
def paas_app_renamed(session: Session, app: App, old_name: AppName) -> None:
    """An app has another name; its id and its properties stayed. An error undoes it."""


@hookspec
def paas_app_cloned(session: Session, app: App, original: App) -> None:
    """`app` is a new one with a copy of all of the original's properties. An error undoes it."""


@hookspec
def paas_app_destroyed(session: Session, app: App) -> None:
    """An app is about to be forgotten, and its properties with it. An error keeps it."""
