"""Where a deploy comes from: an image that is here, pulled or loaded, written down as a commit.

The commit is made by dulwich without a work tree, built and released as a pushed one is, and the branch moves only when
that succeeded: the repository's history is the deploy history.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dulwich.index import commit_tree
from dulwich.object_store import BaseObjectStore, MemoryObjectStore
from dulwich.objects import Blob, ObjectID

from paas.console import Console
from paas.deploy.session import Session
from paas.deploy.sources.archive import ArchiveRefused, clean_path
from paas.deploy.sources.registry import USERNAME_KEY, Credentials, pull_credentials
from paas.deploy.sources.space import ensure_space
from paas.engine.images import Image
from paas.errors import PaasError
from paas.model.image import ImageRef
from paas.model.names import BranchName, printable
from paas.steps import step
from paas.store.apps import App
from paas.store.drafts import drafted
from paas.store.repositories import Repository

DEFAULT_BRANCH = "master"
DEFAULT_AUTHOR = "Dokku"
DEFAULT_EMAIL = "automated@dokku.sh"
IMAGE_ID_TRAILER = "Image-Id"
DETACHED = "detached"
# What git:set says the app's files are read from at the next ps:rebuild, until the next deploy.
SOURCE_IMAGE = "source-image"
# The remote of the last git:sync: what relative URLs of submodules and LFS content belong to.
SYNC_REMOTE = "sync-remote"
# What releases' images are called, here and by others on the same engine.
OUR_NAME = re.compile(r"paas-[0-9a-f]{8}/")
MAX_BUILD_DIR_BYTES = 1024 * 1024 * 1024


class InvalidBuildDir(PaasError):
    """Invalid BUILD_DIR specified for docker build context"""


class InvalidAuthor(PaasError):
    """Invalid author {what}: {text}. Use one line without < and >"""


class NameIsOurs(PaasError):
    """{image} is a name that paas gives to releases. Nothing was changed. Give the image another name: docker tag {image} NAME"""


@dataclass(frozen=True)
class Source:
    """What a deploy is made from: the files of `commit`, and the `image` to run instead of its Dockerfile."""

    commit: str | None
    image: ImageRef | None = None


@dataclass(frozen=True)
class Author:
    """Who a commit is by."""

    name: str = DEFAULT_AUTHOR
    email: str = DEFAULT_EMAIL

    @classmethod
    def parse(cls, name: str, email: str) -> Author:
        """Empty parts take the defaults. Raises InvalidAuthor for what git can't store."""
        for what, text in (("name", name), ("e-mail", email)):
            if any(c in "<>" or not c.isprintable() for c in text):
                raise InvalidAuthor(what=what, text=printable(text))
        return cls(name.strip() or DEFAULT_AUTHOR, email.strip() or DEFAULT_EMAIL)

    def line(self) -> bytes:
        return f"{self.name} <{self.email}>".encode()


def deploy_branch(session: Session, app: App) -> BranchName:
    """The branch whose pushes deploy: the app's, else the global one, else master."""
    return BranchName(session.properties.computed(app.id, "git", "deploy-branch"))


def attached_commit(session: Session, app: App) -> str | None:
    """The commit whose Procfile and .aptible.yml go with the app's image: the one deployed last, else the newest of
    the deploy branch; None while the app is detached from its repository."""
    if session.properties.get(app.id, "git", DETACHED):
        return None
    repository = session.repository(app)
    current = session.releases.find(app.id, app.current_release)
    if current and current.commit and repository.resolve(current.commit):
        return current.commit
    return repository.resolve(deploy_branch(session, app).ref)


def attach(session: Session, app: App, attached: bool = True) -> None:
    """Let the app's repository count again, or (deploy --git-detach) no more."""
    session.properties.set(app.id, "git", DETACHED, "" if attached else "true")


def obtain_image(session: Session, app: App, ref: ImageRef, config: dict[str, str], force: bool) -> Image:
    """The image on the engine, pulled (with the app's credentials) where it is missing or `force` says so."""
    console = session.console
    image = session.images.resolve(ref)
    if image and not force:
        tell_it_is_here(session)
        return image
    console.step("Force pulling image" if image else "Pulling image")
    return _pulled(session, ref, pull_credentials(session, app, config, ref), image)


def tell_it_is_here(session: Session) -> None:
    """Dokku's words for an image that needs no pull."""
    session.console.step("Image exists on host, skipping pull")


def pull_image(session: Session, app: App, ref: ImageRef, config: dict[str, str]) -> Image:
    """The image as the registry has it now; one that is only here and came from no registry is taken as it is."""
    here = session.images.resolve(ref)
    if here and (ref.is_id or not (here.comes_from(ref.repository) or config.get(USERNAME_KEY))):
        session.console.step(f"Using {ref.name}, which is on this host only")
        return here
    session.console.step(f"Pulling {ref.name}")
    return _pulled(session, ref, pull_credentials(session, app, config, ref), here)


def refuse_our_name(ref: ImageRef) -> None:
    """Only a release brings an image under such a name. Raises NameIsOurs."""
    if OUR_NAME.match(ref.repository):
        raise NameIsOurs(image=ref)


def _pulled(session: Session, ref: ImageRef, credentials: Credentials | None, before: Image | None) -> Image:
    refuse_our_name(ref)
    ensure_space(session)
    with step("pull"):
        pulled = session.images.pull(ref, session.console, credentials.for_pull() if credentials else None)
    if before and before.id != pulled.id:
        session.console.detail(f"{ref.name} is another image now: {before.id[7:19]} -> {pulled.id[7:19]}")
    return pulled


@dataclass(frozen=True)
class ImageCommit:
    """A commit that stands for an image: its files by path, and the message with the image's id."""

    repository: Repository
    parent: str | None
    files: dict[str, tuple[int, bytes]]
    message: str
    author: Author

    @property
    def tree_id(self) -> str:
        """The id that its tree will have; nothing is written for it."""
        return self._add_tree(MemoryObjectStore()).decode()

    def _add_tree(self, store: BaseObjectStore) -> ObjectID:
        blobs = []
        for path, (mode, data) in self.files.items():
            blob = Blob.from_string(data)
            store.add_object(blob)
            blobs.append((os.fsencode(path), blob.id, mode))
        return commit_tree(store, blobs)

    @contextlib.contextmanager
    def written(self) -> Iterator[str]:
        """Write it beside the repository; its id. In the block it can be read."""
        with drafted(self.repository) as draft:
            with step("commit"):
                tree = self._add_tree(draft.store)
                commit = draft.commit(tree, self.parent, self.author.line(), self.message)
            yield commit


def image_commit(
    session: Session, app: App, ref: ImageRef, image: Image, author: Author, build_dir: str | None
) -> ImageCommit:
    """What git:from-image and git:load-image commit: a Dockerfile with a FROM line, and the build dir's files."""
    files = _build_dir_files(build_dir, session.console) if build_dir is not None else {}
    mode, dockerfile = files.get("Dockerfile", (0o100644, b""))
    if dockerfile and not dockerfile.endswith(b"\n"):
        dockerfile += b"\n"
    files["Dockerfile"] = (mode, dockerfile + f"FROM {ref.text}\n".encode())
    repository = session.repository(app)
    branch = deploy_branch(session, app)
    parent = repository.resolve(branch.ref)
    return ImageCommit(
        repository, parent, files, f"Deploy {ref.text}\n\n{IMAGE_ID_TRAILER}: {image.id}\n", author
    )


def committed_image_id(message: str) -> str | None:
    """The image id that `image_commit` wrote into a commit's message."""
    for line in reversed(message.splitlines()):
        name, separator, value = line.partition(": ")
        if separator and name == IMAGE_ID_TRAILER:
            return value.strip()
    return None


def check_build_dir(build_dir: str) -> None:
    """Raises InvalidBuildDir for what is no folder that we can read."""
    if not build_dir or not os.access(build_dir, os.R_OK | os.X_OK) or not Path(build_dir).is_dir():
        raise InvalidBuildDir()


def _path_in_commit(path: str) -> str:
    try:
        return clean_path(path)
    except ArchiveRefused:
        raise PaasError(f"{printable(path)} is no path that git takes. Nothing was changed. Rename it") from None


def _build_dir_files(build_dir: str, console: Console) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder on the host, by relative path. Links are kept as links, never followed."""
    check_build_dir(build_dir)
    top = Path(build_dir)
    console.detail("Syncing build directory context")
    files: dict[str, tuple[int, bytes]] = {}
    total = 0
    for folder, names, leaves in os.walk(top):
        for found in (names, leaves):
            if ".git" in found:
                found.remove(".git")
        for leaf in [*leaves, *(name for name in names if (Path(folder) / name).is_symlink())]:
            path = Path(folder) / leaf
            info = path.lstat()
            if stat.S_ISLNK(info.st_mode):
                entry = (0o120000, os.fsencode(path.readlink()))
            elif stat.S_ISREG(info.st_mode):
                entry = (0o100755 if info.st_mode & 0o100 else 0o100644, path.read_bytes())
            else:
                continue
            total += len(entry[1])
            if total > MAX_BUILD_DIR_BYTES:
                raise PaasError(
                    f"{build_dir} holds more than 1 GB. Nothing was changed. Choose a smaller folder"
                )
            files[_path_in_commit(str(path.relative_to(top)))] = entry
    return files
