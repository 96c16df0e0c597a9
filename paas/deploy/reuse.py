"""Whether a commit has been built before: by the same files, settings and base images, the image that is here still is it.

Only where that is certain. What a Dockerfile takes from elsewhere (an image that is not on this host, a URL) may have
changed there, so that such a one is always given to the builder, whose own cache is then what saves time.
"""

from __future__ import annotations

import json
import re

from paas.deploy.build_files import BuildFiles, Recipe
from paas.deploy.session import Session
from paas.engine.images import Image, Images
from paas.errors import PaasError
from paas.model.image import ImageRef
from paas.store.apps import App

NAMESPACE, MADE = "build", "made"
# Reverting to an older one than that builds it again.
REMEMBERED = 30
# Blanks of one line only: a megabyte of empty lines would take hours.
_FROM = re.compile(r"(?im)^[^\S\n]*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?")
_TAKES_FROM = re.compile(r"--from=(\S+)|[,=]from=([^\s,]+)")
_REMOTE = re.compile(r"(?im)^[^\S\n]*ADD\s.*(://|git@)")


def fingerprint(session: Session, app: App, recipe: Recipe, files: BuildFiles) -> str | None:
    """A digest of all that a build of the commit depends on, None where that can't be known. It tells nothing of the
    config that is in it: it is made with the installation's key."""
    options = recipe.options
    if not files.plain or options.api.get("pull") or options.api.get("nocache") or options.secrets:
        return None
    bases = base_ids(session.images, recipe.dockerfile)
    if bases is None:
        return None
    text = recipe.dockerfile.decode("utf-8", "replace")
    parts = [
        app.name,
        recipe.repository.tree_id(recipe.commit),
        recipe.layout.folder,
        recipe.layout.dockerfile,
        recipe.words,
        bases,
        recipe.config if files.asks or "type=secret" in text else {},
    ]
    return session.database.secrets.digest(json.dumps(parts, sort_keys=True))


def base_ids(images: Images, dockerfile: bytes) -> list[str] | None:
    """The ids of the images that a Dockerfile begins with or copies from; None where one of them is not on this host."""
    text = dockerfile.decode("utf-8", "replace").replace("\\\n", " ")
    if _REMOTE.search(text):
        return None
    stages: set[str] = set()
    names: list[str] = []
    for name, stage in _FROM.findall(text):
        if name.lower() not in stages:
            names.append(name)
        if stage:
            stages.add(stage.lower())
    for given in _TAKES_FROM.findall(text):
        name = (given[0] or given[1]).strip("\"'")
        if not name.isdecimal() and name.lower() not in stages:
            names.append(name)
    found = []
    for name in dict.fromkeys(names):
        if name.lower() == "scratch":
            continue
        try:
            image = images.resolve(ImageRef.parse(name))
        except PaasError:  # it has a variable in it
            return None
        if image is None or image.on_build:
            return None
        found.append(image.id)
    return found


def built_before(session: Session, app: App, mark: str) -> Image | None:
    """The image of a build with this fingerprint, None where it is not here any more."""
    image_id = _made(session, app).get(mark)
    return session.images.find(image_id) if image_id else None


def remember(session: Session, app: App, mark: str, image: Image) -> None:
    """That a build with this fingerprint made this image."""
    made = {key: value for key, value in _made(session, app).items() if key != mark}
    newest = list({**made, mark: image.id}.items())[-REMEMBERED:]
    session.properties.set(app.id, NAMESPACE, MADE, json.dumps(dict(newest)))


def _made(session: Session, app: App) -> dict[str, str]:
    stored = session.properties.get(app.id, NAMESPACE, MADE)
    found: dict[str, str] = json.loads(stored) if stored else {}
    return found
