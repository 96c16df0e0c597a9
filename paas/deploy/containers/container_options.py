"""What an app's containers get beyond their image and environment, as the words that `docker run` would take.

The scheduler's settings, storage, resource limits, plugins and docker options all end here: each of them is a provider, a later one counts more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from paas.deploy import plugged
from paas.deploy.containers.docker_options import option_words
from paas.deploy.containers.resources import resource_options, scheduler_options
from paas.deploy.containers.storage import mount_options
from paas.deploy.session import Session
from paas.model.names import ProcessType
from paas.store.apps import App

Phase = Literal["build", "deploy", "run"]
Provider = Callable[[Session, App, Phase, ProcessType | None], tuple[str, ...]]

PROVIDERS: tuple[Provider, ...] = (
    scheduler_options,
    mount_options,
    resource_options,
    plugged.options,
    option_words,
)


def container_options(
    session: Session, app: App, phase: Phase, process_type: ProcessType | None = None
) -> tuple[str, ...]:
    """The words for a container of a `deploy` (of one process type), of a `run`, or of a `build`."""
    return tuple(word for provider in PROVIDERS for word in provider(session, app, phase, process_type))
