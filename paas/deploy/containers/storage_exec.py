"""storage:exec: a throw-away container that has one storage entry and nothing of an app but its image."""

from __future__ import annotations

import secrets

from paas.deploy.changes import release_image
from paas.deploy.containers.one_off import SHELL
from paas.deploy.containers.process import ensure_network
from paas.deploy.containers.run_containers import owner_label
from paas.deploy.containers.storage import store
from paas.deploy.orphans import remove_own
from paas.deploy.session import Session
from paas.engine.attach import run_attached
from paas.engine.containers import LABEL_ROOT, LABEL_TYPE, ContainerSpec
from paas.errors import PaasError
from paas.model.image import ImageRef
from paas.model.names import printable
from paas.model.storage import Entry

PLACE = "/data"
KIND = "storage-exec"


class NoImage(PaasError):
    """No deployed app mounts {entry}, whose image the command could run in. Name one that is on this host with --image"""


class ImageMissing(PaasError):
    """There is no image {image} on this host. Nothing was started. Load it with git:load-image, or name another one"""


class InvalidUser(PaasError):
    """Invalid user: {user}. Give a name or an id, with :GROUP or without"""


def run(session: Session, entry: Entry, command: list[str], image: str, user: str, terminal: bool) -> int:
    """Run `command` (a shell where it is empty) with the entry at /data; its exit code."""
    if user and not all(part.replace("-", "").replace("_", "").isalnum() for part in user.split(":")):
        raise InvalidUser(user=printable(user))
    program, *arguments = command or SHELL
    spec = ContainerSpec(
        name=f"paas-{session.settings.root_id}.{KIND}.{secrets.token_hex(3)}",
        image=_image(session, entry, image),
        labels={LABEL_ROOT: str(session.settings.root), LABEL_TYPE: KIND} | owner_label(),
        environment={},
        network=session.network,
        entrypoint=(program,),
        command=tuple(arguments),
        tty=terminal,
        stdin=True,
        options=("-v", f"{entry.host_path}:{PLACE}", *(("--user", user) if user else ())),
    )
    ensure_network(session)
    container = session.containers.create(spec)
    session.console.out.flush()
    try:
        return run_attached(session.api, container, terminal)
    finally:
        remove_own(session, container)


def _image(session: Session, entry: Entry, name: str) -> str:
    """The image to run in: the one named, else that of an app that mounts the entry."""
    if name:
        found = session.images.resolve(ImageRef.parse(name))
        if found is None:
            raise ImageMissing(image=printable(name))
        return found.id
    for app_name in store(session).apps_using(entry.name):
        app = session.apps.get(app_name)
        if app.deployed:
            release = session.releases.current(app)
            release_image(session, release)
            return release.image_tag
    raise NoImage(entry=entry.name)
