"""git push."""

from __future__ import annotations

import os
import shutil
import time
from functools import cached_property
from pathlib import Path

from support import images
from support.repo import Repo
from support.server import run

from bench.measure import Goal, Row, Samples, Scenario
from bench.site import WEB_PORT, Site

BIG_FILES = 20
BIG_FILE_BYTES = 10_000_000


class Push(Scenario):
    """git push of an app with a Dockerfile, one file of it changed, the builder's cache warm."""

    floor_is = "bare git push + docker build + docker run until 200"
    rows = (
        Row("push", "git push, 1 file changed, until it is served", floor_is, Goal(1.2)),
        Row("push-end", "the same, until git push ends", floor_is),
    )

    @cached_property
    def repo(self) -> Repo:
        return self._repo("push")

    @cached_property
    def floor_repo(self) -> Repo:
        run(["git", "init", "--quiet", "--bare", str(self.bare)], env=self.site.env).ok()
        return self._repo("floor")

    @property
    def bare(self) -> Path:
        return self.site.base / "floor.git"

    def _repo(self, name: str) -> Repo:
        repo = Repo(self.site.base / name)
        for path in images.WEB.inputs:
            repo.copy(path)
        return repo

    def _change(self, repo: Repo) -> str:
        mark = self.site.mark()
        page = (images.DEMO / "index.cgi").read_text()
        repo.write({"index.cgi": f"{page}printf '<p>{mark}</p>'\n"}, executable=True)
        repo.commit()
        return mark

    def ours(self) -> Samples:
        mark = self._change(self.repo)
        words, env = push_words(self.site, "paas", "pushed")
        started = time.perf_counter()
        with self.site.running(*words, env=env, cwd=self.repo.path) as process:
            served = self.site.served("pushed", mark, process)
        ended = time.perf_counter()
        self.site.settle("pushed")
        return {"push": served - started, "push-end": ended - started}

    def floor(self) -> Samples:
        mark = self._change(self.floor_repo)
        words, env = push_words(self.site, "shell", str(self.bare))
        started = time.perf_counter()
        self.site.timed(*words, env=env, cwd=self.floor_repo.path)
        image = self.site.build(self.floor_repo.path)
        return dict.fromkeys(("push", "push-end"), self.site.docker_run(image, WEB_PORT, mark) - started)


class BigPush(Scenario):
    """The first push of a big repository, into a new app."""

    floor_is = "bare git push + docker build + docker run until 200"
    rows = (
        Row(
            "push-big",
            f"first git push of {BIG_FILES * BIG_FILE_BYTES // 10**6} MB until served",
            floor_is,
            Goal(1.1),
        ),
    )

    @cached_property
    def repo(self) -> Repo:
        repo = Repo(self.site.base / "big-repo")
        for path in images.WEB.inputs:
            repo.copy(path)
        # The build's context is all of it; the image is not.
        for number in range(BIG_FILES):
            (repo.path / f"data-{number}").write_bytes(os.urandom(BIG_FILE_BYTES))
        repo.commit()
        return repo

    def ours(self) -> Samples:
        words, env = push_words(self.site, "paas", "big")
        started = time.perf_counter()
        with self.site.running(*words, env=env, cwd=self.repo.path) as process:
            served = self.site.served("big", "", process)
        self.site.forget_app("big")
        return {"push-big": served - started}

    def floor(self) -> Samples:
        bare = self.site.base / "big.git"
        run(["git", "init", "--quiet", "--bare", str(bare)], env=self.site.env).ok()
        words, env = push_words(self.site, "shell", str(bare))
        started = time.perf_counter()
        self.site.timed(*words, env=env, cwd=self.repo.path)
        served = self.site.docker_run(self.site.build(self.repo.path), WEB_PORT, "")
        shutil.rmtree(bare)
        return {"push-big": served - started}


def push_words(site: Site, host: str, path: str) -> tuple[list[str], dict[str, str]]:
    """`git push` of main to a path behind a door: its words and its environment."""
    ssh = f"ssh -F {site.configs[host]}"
    return ["git", "push", "--quiet", f"host:{path}", "main"], {**site.env, "GIT_SSH_COMMAND": ssh}
