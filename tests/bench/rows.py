"""What is measured. Each scenario names its rows, does the thing with paas (`ours`) and without it (`floor`)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from support import images
from support.repo import Repo
from support.server import run

from bench.load import Requests, TlsRequests
from bench.measure import Goal, Row, Samples, Scenario
from bench.site import Site
from bench.switch import Switch

WEB_PORT = 5000
DATASETTE_PORT = 8001
# The kernel keeps the peak, so this only has to be shorter than the process lives after it.
SAMPLE_SECONDS = 0.2
RUN_UNTIL_200 = "ssh true + docker run until 200"


class AppsList(Scenario):
    """A command that only reads."""

    rounds = 4
    rows = (
        Row("apps-list", "ssh host apps:list", "ssh host true", Goal(1.3)),
        Row("apps-list-embedded", "the same, embedded SSH server", "ssh host true, by sshd"),
    )

    def ours(self) -> Samples:
        return {
            "apps-list": self.site.ssh("paas", "apps:list"),
            "apps-list-embedded": self.site.ssh("embedded", "apps:list"),
        }

    def floor(self) -> Samples:
        taken = self.site.true()
        return dict.fromkeys(("apps-list", "apps-list-embedded"), taken)

    def peer(self) -> Samples:
        return {"apps-list": self.site.ssh("peer", "apps:list")}


class FirstDeploy(Scenario):
    """git:from-image of an image that is here but was never deployed, into a new app."""

    rows = (
        Row("from-image", "first git:from-image until 200", RUN_UNTIL_200, Goal(1.5)),
        Row("from-image-end", "the same, until the command ends", RUN_UNTIL_200),
    )

    def ours(self) -> Samples:
        mark = self.site.mark()
        image, app = self.site.new_image(mark), f"first-{next(self.site.numbers)}"
        self.site.on_host("apps:create", app)
        started = time.perf_counter()
        with self.site.running(*self.site.host("paas"), "git:from-image", app, image) as process:
            served = self.site.served(app, mark, process)
        ended = time.perf_counter()
        self.site.forget_app(app)
        self.site.forget_image(image)
        return {"from-image": served - started, "from-image-end": ended - started}

    def floor(self) -> Samples:
        mark = self.site.mark()
        image = self.site.new_image(mark)
        started = time.perf_counter()
        self.site.true()
        taken = self.site.docker_run(image, WEB_PORT, mark) - started
        self.site.forget_image(image)
        return dict.fromkeys(("from-image", "from-image-end"), taken)

    def peer(self) -> Samples:
        image, app = self.site.new_image(self.site.mark()), f"first-{next(self.site.numbers)}"
        self.site.ssh("peer", "apps:create", app)
        taken = self.site.ssh("peer", "git:from-image", app, image)
        self.site.ssh("peer", "--force", "apps:destroy", app)
        self.site.forget_image(image)
        return {"from-image-end": taken}


class Unchanged(Scenario):
    """git:from-image of what runs already."""

    rounds = 4
    rows = (Row("unchanged", "git:from-image, nothing changed", "ssh host true", Goal(1.3)),)

    def ours(self) -> Samples:
        web = self.site.web
        return {"unchanged": self.site.ssh("paas", "git:from-image", web.name, web.image)}

    def floor(self) -> Samples:
        return {"unchanged": self.site.true()}


class ConfigSet(Scenario):
    """A changed value, which restarts the app."""

    rows = (
        Row("config-set", "config:set with restart until the new value is served", RUN_UNTIL_200),
        Row("config-set-end", "the same, until the command ends", RUN_UNTIL_200),
    )

    def ours(self) -> Samples:
        app, mark = self.site.web.name, self.site.mark()
        started = time.perf_counter()
        with self.site.running(*self.site.host("paas"), "config:set", app, f"GREETING={mark}") as process:
            served = self.site.served(app, mark, process)
        ended = time.perf_counter()
        self.site.settle(app)
        return {"config-set": served - started, "config-set-end": ended - started}

    def floor(self) -> Samples:
        return dict.fromkeys(("config-set", "config-set-end"), _run_until_200(self.site, self.site.web.image))

    def peer(self) -> Samples:
        words = ("config:set", self.site.web.on_peer, f"GREETING={self.site.mark()}")
        return {"config-set-end": self.site.ssh("peer", *words)}


class Restart(Scenario):
    """The same release in new containers."""

    rows = (Row("restart", "ps:restart until the command ends", RUN_UNTIL_200),)

    def ours(self) -> Samples:
        taken = self.site.ssh("paas", "ps:restart", self.site.web.name)
        self.site.settle(self.site.web.name)
        return {"restart": taken}

    def floor(self) -> Samples:
        return {"restart": _run_until_200(self.site, self.site.web.image)}

    def peer(self) -> Samples:
        return {"restart": self.site.ssh("peer", "ps:restart", self.site.web.on_peer)}


def _run_until_200(site: Site, image: str) -> float:
    started = time.perf_counter()
    site.true()
    return site.docker_run(image, WEB_PORT, "mark-") - started


class Push(Scenario):
    """git push of an app with a Dockerfile, one file of it changed, the builder's cache warm."""

    floor_is = "bare git push + docker build + docker run until 200"
    rows = (
        Row("push", "git push, 1 file changed, until it is served", floor_is, Goal(1.3)),
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

    def _push(self, host: str, path: str) -> tuple[list[str], dict[str, str]]:
        ssh = f"ssh -F {self.site.configs[host]}"
        return ["git", "push", "--quiet", f"host:{path}", "main"], {**self.site.env, "GIT_SSH_COMMAND": ssh}

    def ours(self) -> Samples:
        mark = self._change(self.repo)
        words, env = self._push("paas", "pushed")
        started = time.perf_counter()
        with self.site.running(*words, env=env, cwd=self.repo.path) as process:
            served = self.site.served("pushed", mark, process)
        ended = time.perf_counter()
        self.site.settle("pushed")
        return {"push": served - started, "push-end": ended - started}

    def floor(self) -> Samples:
        mark = self._change(self.floor_repo)
        words, env = self._push("shell", str(self.bare))
        started = time.perf_counter()
        self.site.timed(*words, env=env, cwd=self.floor_repo.path)
        image = self.site.build(self.floor_repo.path)
        return dict.fromkeys(("push", "push-end"), self.site.docker_run(image, WEB_PORT, mark) - started)


class LoadImage(Scenario):
    """A big image that comes through ssh. The engine holds none of its layers when a round begins.

    One engine can't both save an image and be without it, so the archive is saved once, and a file is what is sent,
    in both ways. The rate is until the engine has the image; what then follows is the deploy.
    """

    host = "paas"
    app = "loaded"
    rows = (
        Row(
            "load-image",
            "git:load-image until loaded",
            "piped to ssh host docker load",
            Goal(0.9, at_least=True),
            "MB/s",
        ),
        Row("load-image-200", "the same, until 200", "docker load over ssh + docker run until 200"),
        Row("load-image-rss", "the same, peak memory of one process", None, Goal(100, absolute=True), "MB"),
    )

    @cached_property
    def archive(self) -> Path:
        """A `docker image save` archive of about 500 MB, whose image the engine does not have any more."""
        archive = self.site.base / "archive.tar"
        if not archive.exists():
            api = self.site.engine.api
            changes = [
                'CMD ["/app/bin/datasette","serve","--memory","--host","0.0.0.0","--port","8001"]',
                f"EXPOSE {DATASETTE_PORT}",
                f"LABEL {self.site.id}",
            ]
            # Exported and imported again, it shares no layer with the image that the tests use.
            container = api.create_container(images.DATASETTE.tag, labels=dict([self.site.id.split("=")]))[
                "Id"
            ]
            tree = self.site.base / "tree.tar"
            self.site.timed("docker", "export", "--output", str(tree), container)
            options = [word for change in changes for word in ("--change", change)]
            self.site.timed("docker", "import", *options, str(tree), self.image)
            tree.unlink()
            api.remove_container(container)
            self.site.timed("docker", "image", "save", "--output", str(archive), self.image)
        self.site.forget_image(self.image)
        return archive

    @property
    def image(self) -> str:
        return f"{self.site.repository}:big"

    def ours(self) -> Samples:
        archive = self.archive
        megabytes = archive.stat().st_size / 1e6
        self.site.on_host("apps:create", self.app)
        words = (*self.site.host(self.host), "git:load-image", self.app, self.image)
        loaded = 0.0
        with _peak_memory(self.site.paas.process.pid if self.site.paas.process else 0) as peak:
            started = time.perf_counter()
            with self.site.running(*words, stdin=archive, piped=True) as process:
                lines = iter(process.stdout or ())
                if any(line.startswith(b"Loaded image") for line in lines):
                    loaded = time.perf_counter()
                # The output has to be read on, or the command would wait for us.
                reader = threading.Thread(target=deque, args=(lines, 0))
                reader.start()
                served = self.site.served(self.app, "", process)
                reader.join()
        self.site.forget_app(self.app)
        self.site.forget_image(self.image)
        return self._samples(megabytes / (loaded - started), served - started, peak())

    def floor(self) -> Samples:
        archive = self.archive
        started = time.perf_counter()
        with self.site.running(*self.site.host("shell"), *self.site.docker_there, "load", stdin=archive):
            pass
        loaded = time.perf_counter() - started
        served = self.site.docker_run(self.image, DATASETTE_PORT, "") - started
        self.site.forget_image(self.image)
        return self._samples(archive.stat().st_size / 1e6 / loaded, served)

    def _samples(self, *numbers: float) -> Samples:
        return {row.name: number for row, number in zip(self.rows, numbers, strict=False)}


class LoadImageEmbedded(LoadImage):
    """The same through paas's own SSH server."""

    host = "embedded"
    rows = (
        Row(
            "load-image-embedded",
            "git:load-image until loaded, embedded SSH server",
            "piped to ssh host docker load",
            unit="MB/s",
        ),
        Row("load-image-embedded-200", "the same, until 200", "docker load over ssh + docker run until 200"),
        Row("load-image-embedded-rss", "the same, peak memory of one process", None, unit="MB"),
    )


@contextlib.contextmanager
def _peak_memory(server: int) -> Iterator[Callable[[], float]]:
    """A function that tells the most resident memory, in MB, of a process that began below `server` in the block."""
    before, peaks, over = set(_below(server)), [0.0], threading.Event()

    def look() -> None:
        while not over.wait(SAMPLE_SECONDS):
            for pid in _below(server):
                if pid not in before:
                    peaks[0] = max(peaks[0], _peak_of(pid))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield lambda: peaks[0]
    finally:
        over.set()
        watcher.join()


def _below(pid: int) -> Iterator[int]:
    """All descendants of a process."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                yield child
                yield from _below(child)


def _peak_of(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) * 1024 / 1e6 if found else 0.0


ALL: tuple[type[Scenario], ...] = (
    AppsList,
    FirstDeploy,
    Unchanged,
    ConfigSet,
    Restart,
    Push,
    LoadImage,
    LoadImageEmbedded,
    Requests,
    TlsRequests,
    Switch,
)
