"""Images that come through ssh: a big one, a very big one, through each front door."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from support import images

from bench.measure import Goal, Row, Samples, Scenario
from bench.site import WEB_PORT

DATASETTE_PORT = 8001
# The kernel keeps the peak, so this only has to be shorter than the process lives after it.
SAMPLE_SECONDS = 0.2
HALF_MEGABYTES = 1000


class LoadImage(Scenario):
    """A big image that comes through ssh. The engine holds none of its layers when a round begins.

    One engine can't both save an image and be without it, so the archive is saved once, and a file is what is sent,
    in both ways. The rate is until the engine has the image; what then follows is the deploy.
    """

    host = "paas"
    app = "loaded"
    tag = "big"
    port = DATASETTE_PORT
    rows = (
        Row(
            "load-image",
            "git:load-image until loaded",
            "piped to ssh host docker load",
            Goal(0.95, at_least=True),
            "MB/s",
        ),
        Row("load-image-200", "the same, until 200", "docker load over ssh + docker run until 200"),
        Row("load-image-rss", "the same, peak memory of one process", None, Goal(100, absolute=True), "MB"),
    )

    @cached_property
    def archive(self) -> Path:
        """A `docker image save` archive whose image the engine does not have any more."""
        archive = self.site.base / f"{self.tag}.tar"
        self._make_image()
        self.site.timed("docker", "image", "save", "--output", str(archive), self.image)
        self.site.forget_image(self.image)
        return archive

    def _make_image(self) -> None:
        """About 500 MB of a real app. Exported and imported again, it shares no layer with the image that the tests use."""
        api = self.site.engine.api
        changes = [
            'CMD ["/app/bin/datasette","serve","--memory","--host","0.0.0.0","--port","8001"]',
            f"EXPOSE {DATASETTE_PORT}",
            f"LABEL {self.site.id}",
        ]
        labels = dict([self.site.id.split("=")])
        container = api.create_container(images.DATASETTE.tag, labels=labels)["Id"]
        tree = self.site.base / "tree.tar"
        self.site.timed("docker", "export", "--output", str(tree), container)
        options = [word for change in changes for word in ("--change", change)]
        self.site.timed("docker", "import", *options, str(tree), self.image)
        tree.unlink()
        api.remove_container(container)

    @property
    def image(self) -> str:
        return f"{self.site.repository}:{self.tag}"

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
        served = self.site.docker_run(self.image, self.port, "") - started
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


class LoadBigImage(LoadImage):
    """The same with 2 GB, in two layers of random bytes."""

    app = "loaded-2g"
    tag = "2g"
    port = WEB_PORT
    rows = (
        Row(
            "load-image-2g",
            "git:load-image of 2 GB until loaded",
            "piped to ssh host docker load",
            Goal(0.95, at_least=True),
            "MB/s",
        ),
        Row("load-image-2g-200", "the same, until 200", "docker load over ssh + docker run until 200"),
        Row(
            "load-image-2g-rss", "the same, peak memory of one process", None, Goal(100, absolute=True), "MB"
        ),
    )

    def _make_image(self) -> None:
        folder = self.site.base / "2g"
        folder.mkdir()
        halves = ("one", "two")
        for name in halves:
            with (folder / name).open("wb") as file:
                for _ in range(HALF_MEGABYTES):
                    file.write(os.urandom(1_000_000))
        copies = "".join(f"COPY {name} /data-{name}\n" for name in halves)
        (folder / "Dockerfile").write_text(f"FROM {images.WEB.tag}\n{copies}LABEL {self.site.id}\n")
        self.site.timed("docker", "build", "--quiet", "--tag", self.image, str(folder))
        shutil.rmtree(folder)


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
