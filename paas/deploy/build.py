"""From a source to an image with a name of its own, which keeps it on the engine as long as its release."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from paas.deploy.build_cache import cache_is_purged, cache_name
from paas.deploy.build_files import Recipe, context_of, look_at, secrets_of
from paas.deploy.containers.docker_options import option_words
from paas.deploy.reuse import built_before, fingerprint, remember
from paas.deploy.session import Session
from paas.deploy.source import Source, committed_image_id, obtain_image, pull_image
from paas.deploy.sources.layout import layout_of
from paas.deploy.sources.registry import build_auths
from paas.deploy.sources.space import ensure_space
from paas.engine import build_options
from paas.engine.build import BuildRequest
from paas.engine.build import build as build_image
from paas.engine.containers import LABEL_APP, LABEL_ROOT
from paas.engine.images import Image
from paas.errors import PaasError
from paas.model.image import ImageRef
from paas.steps import step
from paas.store.apps import App
from paas.store.turns import turn

TURNS = "builds"


@dataclass(frozen=True)
class Built:
    """The image of a deploy and its tag; `image_name` where it was an image and not a build.

    `ignores_dockerfile`: the image was deployed although a commit came with it.
    """

    image: Image
    tag: str
    image_name: str | None
    ignores_dockerfile: bool = False


def build_source(
    session: Session, app: App, source: Source, config: dict[str, str], number: int, fresh: bool = False
) -> Built:
    """Pull and tag the source's image; without one build the commit's Dockerfile, or just tag where that says no
    more than FROM an image without ONBUILD. `fresh`: also what was built before is built again. Raises the errors of layout.py, BuildFailed, PullFailed."""
    tag = session.image_tag(app, number)
    if source.image is not None:
        image = pull_image(session, app, source.image, config)
        session.images.tag(image.id, tag)
        return Built(image, tag, source.image.text, ignores_dockerfile=True)
    commit = str(source.commit)
    repository = session.repository(app)
    layout = layout_of(session, app, commit)
    dockerfile = layout.read_dockerfile(repository, commit)
    base = bare_from(dockerfile)
    words = option_words(session, app, "build")
    options = build_options.parse(words)
    # Labels are all that such a build could add.
    if base is not None and not options.labels:
        # The id in the message is the image that the user saw; its tag may have moved since.
        image_id = committed_image_id(repository.message(commit))
        found = session.images.find(image_id) if image_id else None
        found = found or obtain_image(session, app, base, config, force=False)
        if not found.on_build:
            session.images.tag(found.id, tag)
            return Built(found, tag, base.text)
    recipe = Recipe(repository, commit, layout, dockerfile, words, options, config)
    image = _build(session, app, recipe, tag, fresh)
    return Built(image, tag, base.text if base else None)


@contextlib.contextmanager
def _waiting(session: Session) -> Iterator[None]:
    others = f"one of the {session.settings.max_builds} builds that run (PAAS_MAX_BUILDS)"
    with session.console.waiting(others), step("turn"):
        yield


def bare_from(dockerfile: bytes) -> ImageRef | None:
    """The image of a Dockerfile that is one FROM line and nothing else, None for any other."""
    lines = [line.strip() for line in dockerfile.decode("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if len(lines) != 1:
        return None
    words = lines[0].split()
    if len(words) != 2 or words[0].upper() != "FROM" or words[1] == "scratch" or "$" in words[1]:
        return None
    try:
        return ImageRef.parse(words[1])
    except PaasError:
        return None


def _build(session: Session, app: App, recipe: Recipe, tag: str, fresh: bool) -> Image:
    """Build the commit's files, unless they are those of an image that is here."""
    with step("files"):
        files = look_at(session, app, recipe)
    purged = cache_is_purged(session, app)
    mark = fingerprint(session, app, recipe, files)
    image = built_before(session, app, mark) if mark and not fresh and not purged else None
    if image is not None:
        session.console.step(f"These files of {app.name} were built before, using that image (ps:rebuild builds again)")
        session.images.tag(image.id, tag)
        return image
    ensure_space(session)
    layout = recipe.layout
    session.console.step(f"Building {app.name} from {layout.path(layout.dockerfile)}")
    if purged:
        recipe.options.api["nocache"] = True
    with context_of(session, app, recipe, files) as context:
        request = BuildRequest(
            context=context,
            tag=tag,
            labels={LABEL_APP: str(app.name), LABEL_ROOT: str(session.settings.root)},
            dockerfile=layout.dockerfile,
            auths=build_auths(session, app, recipe.config, recipe.dockerfile),
            secret=secrets_of(session, app, recipe),
            options=recipe.options,
            cache=cache_name(session, app),
        )
        turns = session.settings.locks_dir / TURNS
        with turn(turns, session.settings.max_builds, lambda: _waiting(session)), step("builder"):
            build_image(session.settings, session.api, request, session.console)
    image = session.images.find(tag)
    if image is None:
        raise PaasError(
            "The builder said it was done, but its image is not there. Nothing was deployed. Try again"
        )
    if mark:
        remember(session, app, mark, image)
    cache_is_purged(session, app, forget=True)
    return image
