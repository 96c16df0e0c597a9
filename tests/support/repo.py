"""Git repositories for tests to push."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from support.server import Result, run

GIT_ENV = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.com",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.com",
}


class Repo:
    """A work tree on branch `main`. Its git reads no configuration but its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main").ok()

    def git(self, *words: str, env: Mapping[str, str] | None = None, timeout: float = 300) -> Result:
        """Run `git WORDS` in the work tree."""
        return run(["git", *words], env={**os.environ, **(env or {}), **GIT_ENV}, cwd=self.path, timeout=timeout)

    def write(self, files: Mapping[str, str | bytes], *, executable: bool = False) -> None:
        """Write files, given as path → content."""
        for name, content in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
            if executable:
                target.chmod(0o755)

    def copy(self, source: Path) -> None:
        """Copy a file, or the contents of a directory, into the work tree."""
        if source.is_dir():
            shutil.copytree(source, self.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, self.path)

    def commit(self, message: str = "Change") -> str:
        """Commit everything; the commit's id."""
        self.git("add", "--all").ok()
        self.git("commit", "-q", "--allow-empty", "-m", message).ok()
        return self.git("rev-parse", "HEAD").ok().strip()

    def push(self, remote: str, refspec: str, env: Mapping[str, str], *options: str, timeout: float = 300) -> Result:
        """`git push OPTIONS REMOTE REFSPEC` in the environment of a door (`door.git_env()`)."""
        return self.git("push", *options, remote, refspec, env=env, timeout=timeout)
