"""Where the manifest's files come from: the commit, or the image; file by file, the commit's first."""

from __future__ import annotations

import contextlib
import json

from paas.deploy.build import Built
from paas.deploy.containers.process import start_command
from paas.deploy.containers.run_containers import owner_label
from paas.deploy.files import manifest as manifests
from paas.deploy.files.manifest import Paths
from paas.deploy.orphans import have_removed
from paas.deploy.session import Session
from paas.deploy.sources.layout import layout_of
from paas.engine.containers import LABEL_ROOT
from paas.engine.images import Image
from paas.model.release import Manifest
from paas.store.apps import App


def read_manifest(
    session: Session, app: App, commit: str | None, built: Built, later: contextlib.ExitStack
) -> Manifest:
    """Put together what runs; without a commit, from the image alone. What that leaves is cleared away `later`. Raises the
    errors of manifest.py and UnreadableFile."""
    computed = session.properties.computed
    paths = Paths(
        computed(app.id, "ps", "procfile-path"), computed(app.id, "app-json", "appjson-path")
    )
    files: manifests.Files = {}
    if commit is not None:
        repository = session.repository(app)
        layout = layout_of(session, app, commit)
        for name, path in paths.of_commit().items():
            data = repository.read(commit, layout.path(path))
            if data is not None:
                files[name] = data
        dockerfile = layout.path(layout.dockerfile)
        if built.ignores_dockerfile and repository.has(commit, dockerfile):
            session.console.detail(
                f"The {dockerfile} in the repository is ignored: {built.image_name} is deployed"
            )
    if built.image_name is not None or commit is None:
        places = paths.of_image(built.image)
        of_image = manifests.pick(places, _image_files(session, built.image, places, later))
        for name in files.keys() & of_image.keys():
            session.console.warn(f"Both the repository and the image have a {name}; the repository's is used")
        files = of_image | files
    return manifests.parse(files, built.image, session.console, app.name, start_command(session, app))


def _image_files(
    session: Session, image: Image, places: dict[str, tuple[str, ...]], later: contextlib.ExitStack
) -> manifests.Files:
    """The manifest files of an image, remembered by its id and where they were looked for: reading them costs a
    container."""
    paths = [path for group in places.values() for path in group]
    memory = session.settings.root / "cache" / f"{image.id.removeprefix('sha256:')}.json"
    try:
        known = json.loads(memory.read_text())
        if known["paths"] == paths:
            return {path: data.encode("latin-1") for path, data in known["found"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    labels = {LABEL_ROOT: str(session.settings.root)} | owner_label()

    def leave(container: str) -> None:
        later.callback(have_removed, session, container)

    found = session.images.read_files(image.id, paths, labels, leave)
    memory.parent.mkdir(exist_ok=True, mode=0o700)
    text = {path: data.decode("latin-1") for path, data in found.items()}
    memory.write_text(json.dumps({"paths": paths, "found": text}))
    return found
