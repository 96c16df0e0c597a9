"""git:load-image's first step: one image of an archive comes to the engine, and gets the name that was asked for if
that is free to have."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

from paas import interrupts
from paas.deploy.recovery import loading_name
from paas.deploy.session import Session
from paas.deploy.source import refuse_our_name
from paas.deploy.sources import layers
from paas.deploy.sources.image_archive import only_image
from paas.deploy.sources.space import ensure_space
from paas.engine.images import Image, LoadFailed
from paas.errors import PaasError
from paas.model.image import ImageRef
from paas.steps import step
from paas.store.apps import App


class NameIsTaken(PaasError):
    """Another image is called {image} here, and other apps may be built on it. Nothing was changed. Give yours another name: docker tag {image} NAME"""


@contextlib.contextmanager
def loaded(
    session: Session, ref: ImageRef, archive: BinaryIO, operation_id: int, layers_of: App | None = None
) -> Iterator[Image]:
    """The image of an archive, on the engine under its name during the block. `layers_of`: the archive is a client's
    stream with only the layers that this app's images don't have.

    It keeps its name afterwards where an administrator loads it. Another key's image does so only if it had the name
    before: a name that others build on is not a key's with a role on one app. Raises LoadFailed, ImageNotInArchive,
    NameIsOurs, NameIsTaken.
    """
    refuse_our_name(ref)
    ensure_space(session)
    name = loading_name(session, operation_id)
    try:
        try:
            with step("load"):
                if layers_of is not None:
                    layers.load(session, layers_of, ref, archive, name)
                else:
                    session.images.load(only_image(archive, ref, name), session.console)
        except PaasError:
            interrupts.give_way()
            raise
        image = session.images.find(name)
        if image is None:
            raise LoadFailed(reason="the engine took it and has no image of it")
        with _named(session, ref, image):
            yield image
    finally:
        session.images.untag(name)


@contextlib.contextmanager
def _named(session: Session, ref: ImageRef, image: Image) -> Iterator[None]:
    if ref.digest:
        session.console.print(f"Loaded image ID: {image.id}")
        yield
        return
    limited = not session.reach.everything
    before = session.images.find(ref.name)
    if limited and before is not None and before.id != image.id:
        raise NameIsTaken(image=ref)
    session.images.tag(image.id, ref.name)
    session.console.print(f"Loaded image: {ref.name}")
    try:
        yield
    finally:
        if limited and before is None:
            session.images.untag(ref.name)
