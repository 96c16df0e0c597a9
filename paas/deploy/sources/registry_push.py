"""push-on-release: a new release's image is in the app's registry before any of its processes runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from paas.deploy.session import Session
from paas.deploy.sources.registry import push_credentials
from paas.engine.images import Image
from paas.engine.push import push
from paas.errors import PaasError
from paas.model.image import DEFAULT_REGISTRY, ImageRef, registry_server
from paas.model.properties import rendered_repository
from paas.steps import step
from paas.store.apps import App

NAMESPACE = "registry"
TAG_VERSION = "tag-version"
PUSHING = "pushing"


def server_prefix(session: Session, app_id: int) -> str:
    """What stands before the repository in an image's name: the server and a slash, nothing for Docker Hub."""
    server = session.properties.computed(app_id, NAMESPACE, "server")
    return f"{server}/" if server and server != DEFAULT_REGISTRY else ""


def image_repository(session: Session, app: App) -> str:
    """The app's image-repo, else the template's, else ``dokku/APP``."""
    own = session.properties.get(app.id, NAMESPACE, "image-repo")
    template = session.properties.computed(app.id, NAMESPACE, "image-repo-template")
    return own or rendered_repository(template, app.name) or f"dokku/{app.name}"


def push_release(session: Session, app: App, image: Image, config: dict[str, str]) -> None:
    """Push the image as SERVER/REPO:N, N one more than last time, and under the extra tags, where the app is set to.

    Raises PushFailed; N is used again then.
    """
    properties = session.properties
    if properties.computed(app.id, NAMESPACE, "push-on-release") != "true":
        return
    number = int(properties.get(app.id, NAMESPACE, TAG_VERSION, "0")) + 1
    extra = properties.computed(app.id, NAMESPACE, "push-extra-tags").split(",")
    repository = server_prefix(session, app.id) + image_repository(session, app)
    for tag in (str(number), *(tag for tag in extra if tag)):
        ref = ImageRef.parse(f"{repository}:{tag}")
        session.console.step(f"Pushing {ref.name}")
        with step("registry", ref.name), _named(session, app, image, ref):
            found = push_credentials(session, app, config, registry_server(ref.registry))
            push(session.api, ref, session.console, found.for_pull() if found else None)
    # In the registry the tag is taken from now on, whatever becomes of the release.
    properties.set(app.id, NAMESPACE, TAG_VERSION, str(number))


@contextlib.contextmanager
def _named(session: Session, app: App, image: Image, ref: ImageRef) -> Iterator[None]:
    """Let the image have a name on the engine for as long as the block takes."""
    before = session.images.find(ref.name)
    session.properties.set(app.id, NAMESPACE, PUSHING, f"{ref.name} {before.id if before else ''}")
    session.images.tag(image.id, ref.name)
    try:
        yield
    finally:
        end_push(session, app)


def end_push(session: Session, app: App) -> None:
    """Give the name of a push back to whatever had it: at its end, or after it was killed."""
    stored = session.properties.get(app.id, NAMESPACE, PUSHING)
    if stored:
        name, _, before = stored.partition(" ")
        with contextlib.suppress(PaasError):
            if before and session.images.find(before):
                session.images.tag(before, name)
            else:
                session.images.untag(name)
            session.properties.set(app.id, NAMESPACE, PUSHING, "")
