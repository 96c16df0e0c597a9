"""Where the manifest's files come from: the commit, or the image; file by file, the commit's first."""

from __future__ import annotations

import json

from paas.deploy import manifest as manifests
from paas.deploy.build import DOCKERFILE, Built
from paas.deploy.session import Session
from paas.engine.images import Image
from paas.model.release import Manifest
from paas.store.apps import App

NAMES = (manifests.PROCFILE, manifests.APTIBLE_YML, manifests.APP_JSON)


def read_manifest(session: Session, app: App, commit: str | None, built: Built) -> Manifest:
    """Put together what runs. Raises the errors of manifest.py and UnreadableFile."""
    files: manifests.Files = {}
    if commit is not None:
        repository = session.repository(app)
        files = {name: data for name in NAMES if (data := repository.read(commit, name)) is not None}
        if built.ignores_dockerfile and repository.read(commit, DOCKERFILE) is not None:
            session.console.detail(
                f"The {DOCKERFILE} in the repository is ignored: {built.image_name} is deployed"
            )
    if built.image_name is not None:
        of_image = manifests.pick(built.image, _image_files(session, built.image))
        for name in files.keys() & of_image.keys():
            session.console.warn(f"Both the repository and the image have a {name}; the repository's is used")
        files = of_image | files
    return manifests.parse(files, built.image, session.console)


def _image_files(session: Session, image: Image) -> manifests.Files:
    """The manifest files of an image, remembered by its id: reading them costs a container."""
    memory = session.settings.root / "cache" / f"{image.id.removeprefix('sha256:')}.json"
    try:
        return {path: data.encode("latin-1") for path, data in json.loads(memory.read_text()).items()}
    except (OSError, ValueError):
        pass
    paths = [path for group in manifests.image_paths(image).values() for path in group]
    found = session.images.read_files(image.id, paths)
    memory.parent.mkdir(exist_ok=True, mode=0o700)
    memory.write_text(json.dumps({path: data.decode("latin-1") for path, data in found.items()}))
    return found
