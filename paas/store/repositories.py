"""The apps' bare repositories: the history of deploys. Trees are read as blobs, never from a checkout."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import subprocess
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dulwich.errors import NotTreeError
from dulwich.object_store import BaseObjectStore, DiskObjectStore, OverlayObjectStore, tree_lookup_path
from dulwich.objects import Blob, Commit, ObjectID, Tag
from dulwich.refs import DiskRefsContainer, Ref, check_ref_format

from paas.errors import PaasError
from paas.settings import Settings
from paas.store.git_program import ENVIRONMENT, git_words

HOOKS_DIR = Path(__file__).parent.parent.parent / "hooks"
MAX_FILE_BYTES = 1024 * 1024
READ_BYTES = 1 << 16
_SHORT_ID = re.compile(r"[0-9a-f]{7,40}")
_COMMIT_ID = re.compile(r"[0-9a-f]{40}")

CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\thooksPath = {hooks}
[receive]
\tdenyDeleteCurrent = ignore
\tadvertisePushOptions = true
"""

# export-ignore and export-subst would make `git archive`, and so the build, differ from the commit.
ATTRIBUTES = "* -export-ignore -export-subst\n"


class GitFailed(PaasError):
    """git {verb} failed: {reason}"""


class UnreadableFile(PaasError):
    """{path} in the commit is {what}. Nothing was deployed. Commit it as an ordinary file of at most 1 MB"""


class _Overlay(OverlayObjectStore):
    def __contains__(self, name: ObjectID) -> bool:
        # dulwich's own overlay looks for loose ones only.
        return any(name in store for store in self.bases)


@dataclass(frozen=True)
class Listed:
    """One line of a commit's listing: git's own mode, the object's id, its size in bytes (of files)."""

    path: str
    mode: int
    object_id: str
    size: int


class Repository:
    """The bare repository of one app. Missing ones read as empty."""

    pushed_to = True

    def __init__(self, settings: Settings, app_name: str) -> None:
        self.settings = settings
        self.path = settings.repositories_dir / f"{app_name}.git"
        # Where a commit of ours is written before it is deployed: by the one that holds the app's lock.
        self.draft = settings.run_dir / f"commit-{app_name}"
        self._stores: list[DiskObjectStore] = []

    @property
    def exists(self) -> bool:
        return (self.path / "HEAD").exists()

    def create(self, branch: str) -> None:
        """Make it, with `branch` as HEAD. Does nothing when it is there."""
        if self.exists:
            return
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
            (draft / folder).mkdir(parents=True, exist_ok=True)
        (draft / "HEAD").write_text(f"ref: refs/heads/{branch}\n")
        (draft / "config").write_text(CONFIG.format(hooks=HOOKS_DIR))
        (draft / "info/attributes").write_text(ATTRIBUTES)
        try:
            draft.rename(self.path)
        except OSError:
            shutil.rmtree(draft)
            if not self.exists:
                raise

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def rename(self, app_name: str) -> None:
        if self.exists:
            self.path.rename(self.path.with_name(f"{app_name}.git"))

    @contextlib.contextmanager
    def copied(self, app_name: str) -> Iterator[Callable[[], None]]:
        """Copy it aside for the block, which gets a function that makes the copy `app_name`'s repository.

        Objects never change: they are linked and take no room. Nothing happens where there is no repository.
        """
        target = self.path.with_name(f"{app_name}.git")
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)

        def move_in() -> None:
            if draft.exists():
                shutil.rmtree(target, ignore_errors=True)
                draft.rename(target)

        try:
            if self.exists:
                objects = str(self.path / "objects")
                shutil.copytree(
                    self.path,
                    draft,
                    symlinks=True,
                    ignore=shutil.ignore_patterns("tmp_objdir-*", "*.lock"),
                    copy_function=lambda a, b: os.link(a, b) if a.startswith(objects) else shutil.copy2(a, b),
                )
            yield move_in
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    @cached_property
    def objects(self) -> BaseObjectStore:
        """The object store, with the quarantine of a push in front when we run below its hook."""
        own = DiskObjectStore(str(self.path / "objects"))
        quarantine = os.environ.get("GIT_QUARANTINE_PATH") if self.pushed_to else None
        self._stores = [DiskObjectStore(quarantine), own] if quarantine else [own]
        return _Overlay(list(self._stores)) if quarantine else own

    def close(self) -> None:
        """Give back the descriptors of the pack files that were read; what is read next opens them again."""
        for store in self._stores:
            store.close()
        self._stores = []
        vars(self).pop("objects", None)

    def resolve(self, ref: str) -> str | None:
        """The commit (40 hex digits) that a full ref name or an id stands for, None if it is not there."""
        if not self.exists:
            return None
        if _COMMIT_ID.fullmatch(ref):
            found: bytes | None = ref.encode()
        else:
            found = DiskRefsContainer(str(self.path)).follow(Ref(os.fsencode(ref)))[1]
        while found and ObjectID(found) in self.objects:
            item = self.objects[ObjectID(found)]
            if not isinstance(item, Tag):
                return found.decode() if isinstance(item, Commit) else None
            found = item.object[1]
        return None

    def find(self, reference: str) -> str | None:
        """The commit of a branch, a tag or a commit id (at least 7 hex digits); None where there is none."""
        for ref in (f"refs/heads/{reference}", f"refs/tags/{reference}"):
            commit = self.resolve(ref) if check_ref_format(Ref(os.fsencode(ref))) else None
            if commit:
                return commit
        if not self.exists or not _SHORT_ID.fullmatch(reference):
            return None
        words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}")
        return self.git(*words, check=False).decode().strip() or None

    def read(self, commit: str, path: str, size: int | None = None) -> bytes | None:
        """A file's bytes, None where there is none; `size` where it is known. Raises UnreadableFile for links, folders
        and giants."""
        try:
            mode, blob_id = tree_lookup_path(self.objects.__getitem__, self._tree(commit), os.fsencode(path))
        except (KeyError, NotTreeError):
            return None
        if not stat.S_ISREG(mode):
            what = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder"}
            raise UnreadableFile(path=path, what=what.get(stat.S_IFMT(mode), "a submodule"))
        # Asked for before it is unpacked: a few bytes may stand for any number.
        length = self._size(blob_id) if size is None else size
        if length > MAX_FILE_BYTES:
            raise UnreadableFile(path=path, what=f"{length} bytes long")
        blob = self.objects[blob_id]
        return blob.data if isinstance(blob, Blob) else None

    def _size(self, name: ObjectID) -> int:
        """The bytes of an object that is there."""
        for store in self._stores:
            path = Path(os.fspath(store.path)) / name[:2].decode() / name[2:].decode()
            with contextlib.suppress(OSError), path.open("rb") as file:
                head = zlib.decompressobj().decompress(file.read(256), 64)
                return int(head.partition(b"\0")[0].split()[1])
        return int(self.git("cat-file", "-s", name.decode()))

    def listed(self, commit: str) -> Iterator[Listed]:
        """Everything that a commit has, folders too, as git finds it: one entry after the other, so that whoever has
        seen enough can stop."""
        for line in self.lines("ls-tree", "-r", "-t", "-l", "-z", "--full-tree", commit, end=b"\0"):
            about, _, path = line.partition(b"\t")
            mode, _, name, size = about.split()
            yield Listed(os.fsdecode(path), int(mode, 8), name.decode(), 0 if size == b"-" else int(size))

    def blob(self, item: Listed) -> bytes:
        """The bytes of a file that was listed, nothing of a giant."""
        found = self.objects[ObjectID(item.object_id.encode())] if item.size <= MAX_FILE_BYTES else None
        return found.data if isinstance(found, Blob) else b""

    def has(self, commit: str, path: str) -> bool:
        """Whether there is anything at a path."""
        return self._mode(commit, path) is not None

    def has_folder(self, commit: str, path: str) -> bool:
        """Whether a path is a folder of the commit, and no link on the way to it."""
        return stat.S_ISDIR(self._mode(commit, path) or 0)

    def _mode(self, commit: str, path: str) -> int | None:
        try:
            return tree_lookup_path(self.objects.__getitem__, self._tree(commit), os.fsencode(path))[0]
        except (KeyError, NotTreeError):
            return None

    def branches(self) -> dict[str, str]:
        """Branch name to commit id, sorted."""
        if not self.exists:
            return {}
        refs = DiskRefsContainer(str(self.path)).as_dict(Ref(b"refs/heads"))
        return {os.fsdecode(name): value.decode() for name, value in sorted(refs.items())}

    def set_ref(self, ref: str, commit: str) -> None:
        """Let a ref (refs/...) be a commit, whatever it was. Raises GitFailed."""
        try:
            DiskRefsContainer(str(self.path)).set_if_equals(Ref(os.fsencode(ref)), None, ObjectID(commit.encode()))
        except OSError as error:
            raise GitFailed(verb="update-ref", reason=error.strerror) from None

    def set_head(self, branch: str) -> None:
        """What a clone checks out."""
        DiskRefsContainer(str(self.path)).set_symbolic_ref(
            Ref(b"HEAD"), Ref(b"refs/heads/" + os.fsencode(branch))
        )

    def succeeds(self, *words: str) -> bool:
        """Whether git ends with 0."""
        done = subprocess.run(
            self.command(*words), cwd=self.path, env=self.environment(), capture_output=True, check=False
        )
        return done.returncode == 0

    def mentions(self, commit: str, text: str) -> Callable[[], bool]:
        """Begin to look whether a file of the commit holds `text`; the function that comes back waits for the answer."""
        search = self.start("grep", "--quiet", "--fixed-strings", "-e", text, commit)
        return lambda: search.wait() == 0

    def check_out(self, commit: str, tree: Path, index: Path, umask: int) -> None:
        """Make `tree` hold the files of a commit; `index` remembers them, so that next time only what differs is
        written. Raises GitFailed."""
        words = self.command(f"--work-tree={tree}", "read-tree", "--reset", "-u", commit)
        environment = self.environment() | {"GIT_INDEX_FILE": str(index)}
        result = subprocess.run(
            words, cwd=self.path, env=environment, capture_output=True, umask=umask, check=False
        )
        if result.returncode:
            raise GitFailed(verb="read-tree", reason=_last_line(result))

    def message(self, commit: str) -> str:
        item = self.objects[ObjectID(commit.encode())]
        return item.message.decode("utf-8", "replace") if isinstance(item, Commit) else ""

    def tree_id(self, commit: str) -> str:
        return self._tree(commit).decode()

    def _tree(self, commit: str) -> ObjectID:
        item = self.objects[ObjectID(commit.encode())]
        return item.tree if isinstance(item, Commit) else ObjectID(b"")

    def command(self, *words: str) -> list[str]:
        """The argument list of a git command on this repository, which is also its working directory."""
        return [*git_words(), "--git-dir=.", *words]

    def environment(self) -> dict[str, str]:
        """What git may see of ours, and the quarantine of a push when we run below its hook."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name
            in (
                "PATH",
                "PAAS_ROOT",
                "GIT_QUARANTINE_PATH",
                "GIT_OBJECT_DIRECTORY",
                "GIT_ALTERNATE_OBJECT_DIRECTORIES",
            )
        }
        # Of other repositories only files of ours are read here, such as a backup's.
        return kept | ENVIRONMENT | {"HOME": str(self.settings.root), "GIT_ALLOW_PROTOCOL": "file"}

    def start(
        self,
        *words: str,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        environment: dict[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """git beside us, with our environment or `environment`; what it says of errors is not heard."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.path,
            env=environment or self.environment(),
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
        )

    def lines(
        self, *words: str, end: bytes = b"\n", environment: dict[str, str] | None = None
    ) -> Iterator[bytes]:
        """What git prints, a line at a time, without its end. Raises GitFailed."""
        rest = b""
        for data in self.stream(*words, environment=environment):
            *lines, rest = (rest + data).split(end)
            yield from lines

    def stream(self, *words: str, environment: dict[str, str] | None = None) -> Iterator[bytes]:
        """What git prints, as it comes; it is ended where nobody wants the rest. Raises GitFailed."""
        process = self.start(*words, stdout=subprocess.PIPE, environment=environment)
        with process:
            try:
                while process.stdout and (data := process.stdout.read1(READ_BYTES)):  # type: ignore[attr-defined]
                    yield data
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise GitFailed(verb=words[0], reason=f"exit {process.returncode} in {self.path.name}")

    def git(self, *words: str, check: bool = True, input: bytes = b"") -> bytes:
        """Run git and return what it printed. Raises GitFailed."""
        result = subprocess.run(
            self.command(*words),
            cwd=self.path,
            env=self.environment(),
            input=input,
            capture_output=True,
            check=False,
        )
        if check and result.returncode:
            raise GitFailed(verb=words[0], reason=_last_line(result))
        return result.stdout


def _last_line(result: subprocess.CompletedProcess[bytes]) -> str:
    reason = result.stderr.decode("utf-8", "replace").strip() or f"exit {result.returncode}"
    return reason.splitlines()[-1]
