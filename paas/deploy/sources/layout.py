"""Where in a commit the app's files are: builder:set build-dir and builder-dockerfile:set dockerfile-path."""

from __future__ import annotations

from dataclasses import dataclass

from paas.deploy.session import Session
from paas.deploy.source import committed_image_id
from paas.errors import PaasError
from paas.store.apps import App
from paas.store.repositories import Repository

DOCKERFILE = "Dockerfile"
# What people push who expect a buildpack to build it.
BUILDPACK_FILES = (
    *("package.json", "requirements.txt", "pyproject.toml", "Pipfile", "Gemfile", "go.mod", "pom.xml"),
    *("build.gradle", "composer.json", "index.php", "mix.exs", "Cargo.toml", "project.clj", "build.sbt"),
    *(".buildpacks", "project.toml", "lambda.yml", "nixpacks.toml", "railpack.json", ".static", "index.html"),
)


class NothingToBuild(PaasError):
    """The commit has no {dockerfile} at its top. Nothing was deployed. Add one, or deploy an image with git:from-image"""


class NoBuildpacks(PaasError):
    """The commit has {found} but no {dockerfile}, and paas builds Dockerfiles, not buildpacks. Nothing was deployed. Add a Dockerfile, or deploy an image with git:from-image"""


class InvalidDockerfilePath(PaasError):
    """Invalid dockerfile-path specified: {path}"""


class NoBuildDir(PaasError):
    """Invalid build-dir specified: {path}. The commit has no such folder. Nothing was deployed. Change it with builder:set"""


@dataclass(frozen=True)
class Layout:
    """`folder` is the build context below the commit's top (empty: the top), `dockerfile` a path in it."""

    folder: str = ""
    dockerfile: str = DOCKERFILE

    def path(self, name: str) -> str:
        """A file of the folder as the commit names it."""
        return f"{self.folder}/{name}" if self.folder else name

    def read_dockerfile(self, repository: Repository, commit: str) -> bytes:
        """Raises InvalidDockerfilePath, NoBuildpacks, NothingToBuild and UnreadableFile."""
        found = repository.read(commit, self.path(self.dockerfile))
        if found is not None:
            return found
        if self.dockerfile != DOCKERFILE:
            raise InvalidDockerfilePath(path=self.dockerfile)
        for name in BUILDPACK_FILES:
            if repository.has(commit, self.path(name)):
                raise NoBuildpacks(found=self.path(name), dockerfile=self.path(DOCKERFILE))
        raise NothingToBuild(dockerfile=self.path(DOCKERFILE))


def layout_of(session: Session, app: App, commit: str) -> Layout:
    """Raises NoBuildDir. The commits of git:from-image are ours: their Dockerfile is at the top."""
    repository = session.repository(app)
    if committed_image_id(repository.message(commit)):
        return Layout()
    computed = session.properties.computed
    folder = computed(app.id, "builder", "build-dir")
    if folder and not repository.has_folder(commit, folder):
        raise NoBuildDir(path=folder)
    return Layout(folder, computed(app.id, "builder-dockerfile", "dockerfile-path"))
