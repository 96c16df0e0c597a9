"""What is built, and what the builder gets to see of it: a commit's files, `.aptible.env` where they ask for it, and
secrets by name."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from paas.deploy.session import Session
from paas.deploy.sources import aptible_env
from paas.deploy.sources.checkout import Checkout
from paas.deploy.sources.context import complete
from paas.deploy.sources.layout import Layout
from paas.deploy.sources.registry import PLATFORM_KEYS, own_auths
from paas.deploy.sources.weight import weighed
from paas.deploy.tree import SUBMODULE, TreeContext, below
from paas.engine.build_options import BuildOptions
from paas.engine.context import Context, FolderContext
from paas.store.apps import App
from paas.store.config import Config
from paas.store.properties import GLOBAL
from paas.store.repositories import Listed, Repository

# Ids of `RUN --mount=type=secret,id=…`; any other is the name of a config variable.
ENV_SECRETS = ("aptible_env", aptible_env.NAME)
LOGINS_SECRET = "docker_config"  # noqa: S105 - an id


@dataclass(frozen=True)
class Recipe:
    """What to build: a commit's Dockerfile, with an app's `config` and its docker options (`words`, read as `options`)."""

    repository: Repository
    commit: str
    layout: Layout
    dockerfile: bytes
    words: tuple[str, ...]
    options: BuildOptions
    config: dict[str, str]


@dataclass(frozen=True)
class BuildFiles:
    """A commit as the builder sees it. `plain`: it is no more than the commit's own files, so that the same files mean
    the same build. `asks`: they mention `.aptible.env`."""

    items: list[Listed]
    plain: bool
    asks: bool


def look_at(session: Session, app: App, recipe: Recipe) -> BuildFiles:
    """List the commit and find out what it wants. Raises GitFailed and what weight.py raises."""
    repository = recipe.repository
    items = weighed(session, app, repository, recipe.commit)
    asks = repository.mentions(recipe.commit, aptible_env.NAME)
    plain = (
        not any(item.mode == SUBMODULE for item in items)
        and not any(_wants_lfs(repository, item) for item in items)
        and session.properties.computed(app.id, "git", "keep-git-dir") != "true"
    )
    return BuildFiles(items, plain, asks())


def _wants_lfs(repository: Repository, item: Listed) -> bool:
    return item.path.rpartition("/")[2] == ".gitattributes" and b"filter=lfs" in repository.blob(item)


@contextlib.contextmanager
def context_of(session: Session, app: App, recipe: Recipe, files: BuildFiles) -> Iterator[Context]:
    """The files for one build. Raises SubmoduleRefused, RemoteFailed, LfsMissing, GitFailed."""
    checkout, repository, layout = Checkout(session, app), recipe.repository, recipe.layout
    extra: dict[str, bytes] = {}
    if files.asks:
        session.console.detail(f"Adding {aptible_env.NAME} to the build context")
        extra[aptible_env.NAME] = aptible_env.render(recipe.config)
    if files.plain:
        items = below(files.items, layout.folder)
        with contextlib.closing(TreeContext(repository, items, checkout.folder / "times.json", extra)) as tree:
            yield tree
        return
    folder = checkout.update(repository, recipe.commit, {layout.path(aptible_env.NAME): None})
    complete(session, app, repository, recipe.commit, checkout)
    yield FolderContext(folder / layout.folder, extra)


def secrets_of(session: Session, app: App, recipe: Recipe) -> Callable[[str], bytes | None]:
    """What a Dockerfile gets for ``RUN --mount=type=secret,id=…``: the config as a file, the app's own registry logins
    (nobody else's: a build could pass them on), or one config variable. Never written down anywhere."""
    values = {**Config(session.database, GLOBAL).all(), **recipe.config}
    logins = json.dumps({"auths": own_auths(session, app, recipe.config, recipe.dockerfile)}).encode()

    def secret(name: str) -> bytes | None:
        if name in ENV_SECRETS:
            return aptible_env.render(recipe.config)
        if name == LOGINS_SECRET:
            return logins
        return os.fsencode(values[name]) if name in values and name not in PLATFORM_KEYS else None

    return secret
