"""Git LFS: pointer files in a build context are replaced by the content that they stand for."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from paas.deploy.session import Session
from paas.deploy.sources.git_client import remote_git
from paas.errors import PaasError
from paas.model.git_url import RemoteUrl
from paas.model.names import printable
from paas.store.repositories import Repository

READ_BYTES = 1 << 20
MAX_POINTER_BYTES = 1024
_MARK = "version https://git-lfs.github.com/spec/v1"
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-\S+ \S+\n)*oid sha256:([0-9a-f]{64})\nsize (\d{1,18})\n"
)


class LfsMissing(PaasError):
    """{remote} does not have the Git LFS content of {path}. Nothing was deployed. Push it there with git lfs push, then deploy again"""


@dataclass(frozen=True)
class Pointer:
    """A file's path, and the digest and size (bytes) of what it stands for."""

    path: str
    digest: str
    size: int


def place(session: Session, repository: Repository, commit: str, tree: Path, remote: RemoteUrl | None) -> None:
    """Replace the pointers of a commit that is checked out in `tree`; `remote` is where it came from, None for a
    push. Raises RemoteFailed or LfsMissing."""
    pointers = find(repository, commit)
    if not pointers:
        return
    store = repository.path / "lfs"
    if any(not _has(store, item) for item in pointers):
        reason = _why_not(remote)
        if reason:
            session.console.warn(f"{len(pointers)} file(s) stay Git LFS pointers, such as {printable(pointers[0].path)}: {reason}")
            return
        if remote is not None:
            session.console.detail(f"Fetching Git LFS content of {len(pointers)} file(s) from {remote.shown}")
            remote_git(session, repository.path, _fetch_words(store, remote, commit), remote)
    for item in pointers:
        if not _has(store, item):
            raise LfsMissing(remote=remote.shown if remote else "The repository", path=printable(item.path))
        target = tree / item.path
        mode = target.stat().st_mode & 0o777
        target.unlink()
        shutil.copyfile(_object(store, item), target)
        target.chmod(mode)


def find(repository: Repository, commit: str) -> list[Pointer]:
    """The pointer files of a commit whose .gitattributes speak of LFS."""
    attributes = ("grep", "--quiet", "--fixed-strings", "-e", "filter=lfs", commit, "--", ":(glob)**/.gitattributes")
    if not repository.succeeds(*attributes):
        return []
    said = repository.git("grep", "-z", "--files-with-matches", "--fixed-strings", "-e", _MARK, commit, check=False)
    marked = {os.fsdecode(name).removeprefix(f"{commit}:") for name in said.split(b"\0") if name}
    found = []
    for item in repository.listed(commit):
        if item.path in marked and item.size <= MAX_POINTER_BYTES:
            match = _POINTER.fullmatch(repository.read(commit, item.path, item.size) or b"")
            if match:
                found.append(Pointer(item.path, match[1].decode(), int(match[2])))
    return found


def _why_not(remote: RemoteUrl | None) -> str:
    if shutil.which("git-lfs") is None:
        return "git-lfs is not installed on this machine"
    if remote is None:
        return "a push brings no LFS content. Deploy the repository from its remote with git:sync --build"
    if remote.scheme == "git":
        return "git:// has no LFS content. Use the remote's https:// or ssh:// URL"
    return ""


def _fetch_words(store: Path, remote: RemoteUrl, commit: str) -> list[str]:
    # Said here, it counts more than a .lfsconfig in the repository.
    url = remote.text
    if remote.scheme in ("http", "https"):
        url = f"{url.rstrip('/').removesuffix('.git')}.git/info/lfs"
    options = {
        "lfs.url": url,
        "lfs.storage": str(store),
        "lfs.basictransfersonly": "true",
        "lfs.locksverify": "false",
        "remote.origin.url": remote.text,
    }
    return [*(word for name, value in options.items() for word in ("-c", f"{name}={value}")), "lfs", "fetch", "origin", commit]


def _object(store: Path, pointer: Pointer) -> Path:
    return store / "objects" / pointer.digest[:2] / pointer.digest[2:4] / pointer.digest


def _has(store: Path, pointer: Pointer) -> bool:
    """Whether the content is there, whole."""
    path = _object(store, pointer)
    if not path.is_file() or path.stat().st_size != pointer.size:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(READ_BYTES):
            digest.update(data)
    return digest.hexdigest() == pointer.digest
