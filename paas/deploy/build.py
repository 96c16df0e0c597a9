"""From a commit to an image with a name of its own, which keeps it on the engine as long as its release."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from paas.deploy.session import Session
from paas.deploy.source import committed_image_id, obtain_image
from paas.engine.build import BuildRequest
from paas.engine.build import build as build_image
from paas.engine.containers import LABEL_APP, LABEL_ROOT
from paas.engine.images import Image
from paas.errors import PaasError
from paas.model.image import ImageRef
from paas.store.apps import App
from paas.store.repositories import Repository

DOCKERFILE = "Dockerfile"


class NothingToBuild(PaasError):
    """The commit has no {dockerfile} at its top. Nothing was deployed. Add one, or deploy an image with git:from-image"""


class ArchiveFailed(PaasError):
    """git archive failed: {reason}. Nothing was deployed. Push again"""


@dataclass(frozen=True)
class Built:
    """The image of a deploy, its tag, and its name where it was an image and not a build."""

    image: Image
    tag: str
    image_name: str | None


def image_of_commit(session: Session, app: App, commit: str, number: int) -> Built:
    """Build the commit's Dockerfile, or just tag where it says no more than FROM an image without ONBUILD."""
    repository = session.repository(app)
    dockerfile = repository.read(commit, DOCKERFILE)
    if dockerfile is None:
        raise NothingToBuild(dockerfile=DOCKERFILE)
    tag = f"paas-{session.settings.root_id}/{app.name}:{number}"
    base = bare_from(dockerfile)
    if base is not None:
        image = _base_image(session, repository, commit, base)
        if not image.on_build:
            session.images.tag(image.id, tag)
            return Built(image, tag, base.text)
    session.console.step(f"Building {app.name} from {DOCKERFILE}")
    _build(session, app, repository, commit, tag)
    built = session.images.find(tag)
    if built is None:
        raise PaasError(
            "The builder said it was done, but its image is not there. Nothing was deployed. Try again"
        )
    return Built(built, tag, base.text if base else None)


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


def _base_image(session: Session, repository: Repository, commit: str, base: ImageRef) -> Image:
    # The id in the message is the image that the user saw; its tag may have moved since.
    image_id = committed_image_id(repository.message(commit))
    image = session.images.find(image_id) if image_id else None
    return image or obtain_image(session, base, force=False)


def _build(session: Session, app: App, repository: Repository, commit: str, tag: str) -> None:
    labels = {LABEL_APP: app.name, LABEL_ROOT: str(session.settings.root)}
    archive = subprocess.Popen(
        repository.command("archive", "--format=tar", commit),
        cwd=repository.path,
        env=repository.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert archive.stdout is not None and archive.stderr is not None  # noqa: S101 - both are pipes
    with archive:
        try:
            build_image(
                session.settings,
                session.api,
                BuildRequest(tag, labels, DOCKERFILE),
                archive.stdout,
                session.console,
            )
        except BaseException:
            archive.kill()
            raise
        archive.stdout.close()
        if archive.wait() not in (0, -13):  # -13: the builder did not read to the end
            raise ArchiveFailed(reason=archive.stderr.read().decode("utf-8", "replace").strip())
