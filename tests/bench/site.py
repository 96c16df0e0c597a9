"""What the rows are measured on: a paas of our own, an sshd with doors that lead past it, and throw-away images."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import re
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import docker
import docker.errors
from support import doors, images
from support.repo import GIT_ENV
from support.server import Paas, run, running_paas

from bench.sshd import running_sshd
from paas.router import binary as haproxy

LABEL = "paas.bench"
WEB_PORT = 5000  # of the web test image
BUILDX_SINCE = 23
POLL_SECONDS = 0.002
SETTLE_SECONDS = 0.1
PATIENCE_SECONDS = 180
ANSWER_SECONDS = 10


class Failed(Exception):
    """Something that is measured did not work, so there is nothing to measure."""


class Site:
    """Where commands go: `paas` and `embedded` in front of paas, `true` and `shell` past it, through one sshd."""

    def __init__(self, base: Path, paas: Paas, engine: docker.DockerClient, peer: list[str] | None) -> None:
        self.base = base
        self.paas = paas
        self.engine = engine
        self.peer = peer
        self.id = f"{LABEL}={base.name}"
        self.repository = f"paas-bench/{os.getpid()}"
        self.env = {**paas.env, **GIT_ENV}
        self.has_router = haproxy.missing() is None
        self.builder = _builder()
        self.configs: dict[str, Path] = {}
        self.numbers = itertools.count(1)
        self.kept = contextlib.ExitStack()  # ends with us
        self.ground: object = None  # of bench.load

    @property
    def docker_there(self) -> list[str]:
        """`docker` as a command behind the door `shell`, for the engine that we use."""
        address = os.environ.get("DOCKER_HOST")
        return ["docker", *(["--host", shlex.quote(address)] if address else [])]

    @cached_property
    def web(self) -> WebApp:
        """An app that serves, for what is done to such a one."""
        mark = self.mark()
        app = WebApp(self, "web", self.new_image(mark))
        self.on_host("apps:create", app.name)
        self.on_host("git:from-image", app.name, app.image)
        self.served(app.name, mark)
        return app

    # Commands

    def host(self, name: str) -> list[str]:
        """The words that come before a command for a host."""
        return (self.peer or []) if name == "peer" else ["ssh", "-F", str(self.configs[name]), doors.HOST]

    def timed(self, *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> float:
        """Run a command that must succeed; the seconds that it took."""
        started = time.perf_counter()
        with self.running(*words, env=env, cwd=cwd):
            pass
        return time.perf_counter() - started

    def ssh(self, host: str, *words: str) -> float:
        """As `timed`, for a command on a host."""
        return self.timed(*self.host(host), *words)

    def at_once(self, commands: Sequence[Sequence[str]]) -> list[str]:
        """Start all, wait for all; what each printed. Every one must succeed."""
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(tempfile.TemporaryFile(dir=self.base)) for _ in commands]
            started = [
                subprocess.Popen(
                    words, env=self.env, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
                )
                for words, file in zip(commands, files, strict=True)
            ]
            ended = [_ends(process) for process in started]
            printed = []
            for process, words, file in zip(started, commands, files, strict=True):
                file.seek(0)
                printed.append(file.read().decode(errors="replace"))
                if process.returncode:
                    tail = printed[-1][-2000:]
                    raise Failed(f"{shlex.join(words)} ended with {process.returncode}\n{tail}")
            if not all(ended):
                raise Failed("Not all of what was started at once ends")
            return printed

    def true(self) -> float:
        """Seconds of `ssh host true`: what any command over ssh costs at least."""
        return self.ssh("true", "true")

    def on_host(self, *words: str) -> str:
        """Run `paas WORDS` beside the clock; its output."""
        result = self.paas.command(*words)
        if result.code:
            raise Failed(f"paas {' '.join(words)}: {result.err.strip() or result.out.strip()}")
        return result.out

    @contextlib.contextmanager
    def running(
        self,
        *words: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: Path | None = None,
        piped: bool = False,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A command that runs during the block, has ended after it, and must succeed. `stdin` is a file.

        Its output is kept for the message of its failure, unless it is `piped` to us.
        """
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(stdin.open("rb")) if stdin else subprocess.DEVNULL
            kept = stack.enter_context(tempfile.TemporaryFile(dir=self.base))
            process = subprocess.Popen(
                words,
                env=env or self.env,
                cwd=cwd,
                stdin=source,
                stdout=subprocess.PIPE if piped else kept,
                stderr=kept,
            )
            try:
                yield process
                if not _ends(process):
                    raise Failed(f"{shlex.join(words)} does not end")
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
                if process.stdout:
                    process.stdout.close()
            if process.returncode:
                kept.seek(0)
                tail = kept.read().decode(errors="replace")[-2000:]
                raise Failed(f"{shlex.join(words)} ended with {process.returncode}\n{tail}")

    # HTTP

    def served(self, app: str, mark: str, process: subprocess.Popen[bytes] | None = None) -> float:
        """The moment at which the app answers 200 with `mark` in it, through the router where there is one."""
        return self._answered(lambda: self._app_address(app), f"{app}.localhost", mark, process)

    def container_serves(self, container_id: str, port: int, mark: str) -> float:
        """The same for a container, at its own address."""
        attributes = self.engine.api.inspect_container(container_id)
        address = next(iter(attributes["NetworkSettings"]["Networks"].values()))["IPAddress"]
        return self._answered(lambda: (address, port), address, mark, None)

    def _app_address(self, app: str) -> tuple[str, int] | None:
        if self.has_router:
            return "127.0.0.1", self.paas.http_port
        labels = [f"paas.app={app}", f"paas.root={self.paas.root}"]
        found = self.engine.api.containers(filters={"label": labels})
        ports = [item["PublicPort"] for each in found for item in each["Ports"] if "PublicPort" in item]
        return ("127.0.0.1", ports[0]) if ports else None

    def _answered(
        self,
        find: Callable[[], tuple[str, int] | None],
        host: str,
        mark: str,
        process: subprocess.Popen[bytes] | None,
    ) -> float:
        deadline = time.perf_counter() + PATIENCE_SECONDS
        while time.perf_counter() < deadline:
            address = find()
            if address and _answers(*address, host, mark):
                return time.perf_counter()
            if process and process.poll():
                return 0.0  # `running` tells what went wrong
            time.sleep(POLL_SECONDS)
        raise Failed(f"{host} does not answer with {mark!r}")

    # Images and containers past paas

    def new_image(self, mark: str) -> str:
        """An image that nobody has deployed yet: the web test image with a page that says `mark`."""
        name = f"{self.repository}:{next(self.numbers)}"
        dockerfile = f"FROM {images.WEB.tag}\nENV VERSION={mark}\nLABEL {self.id}\n"
        run(["docker", "build", "--quiet", "--tag", name, "-"], env=self.env, input=dockerfile).ok()
        return name

    def mark(self) -> str:
        """A word that no page has said before."""
        return f"mark-{next(self.numbers)}-"

    def docker_run_words(self, image: str) -> list[str]:
        """The command that starts a container of ours and prints its id."""
        return ["docker", "run", "--detach", "--label", self.id, image]

    def docker_run(self, image: str, port: int, mark: str) -> float:
        """The moment at which a container that `docker run` starts has answered; it is gone again afterwards."""
        with self.running(*self.docker_run_words(image), piped=True) as process:
            container = (process.stdout.read() if process.stdout else b"").decode().strip()
        answered = self.container_serves(container, port, mark)
        self.engine.api.remove_container(container, force=True, v=True)
        return answered

    def build(self, directory: Path) -> str:
        """Build a directory with a Docker client and BuildKit; the image's name."""
        name = f"{self.repository}:built"
        env = {**self.env, "DOCKER_BUILDKIT": "1"}
        self.timed(self.builder, "build", "--label", self.id, "--tag", name, str(directory), env=env)
        return name

    def forget_image(self, name: str) -> None:
        """Remove an image and all its names, with the containers of ours that still hold it."""
        with contextlib.suppress(docker.errors.ImageNotFound):
            image_id = self.engine.api.inspect_image(name)["Id"]
            for container in self.engine.api.containers(all=True, filters={"ancestor": image_id}):
                labels = container["Labels"]
                if labels.get(LABEL) == self.base.name or labels.get("paas.root") == str(self.paas.root):
                    with contextlib.suppress(docker.errors.NotFound):
                        self.engine.api.remove_container(container["Id"], force=True)
            self.engine.api.remove_image(image_id, force=True)

    def settle(self, app: str) -> None:
        """Wait until the processes that a change replaced are gone, so that their end is on nobody's clock."""
        labels = [f"paas.app={app}", f"paas.root={self.paas.root}"]
        deadline = time.perf_counter() + PATIENCE_SECONDS
        while len(self.engine.api.containers(all=True, filters={"label": labels})) > 1:
            if time.perf_counter() > deadline:
                raise Failed(f"The old processes of {app} stay")
            time.sleep(SETTLE_SECONDS)

    def forget_app(self, app: str) -> None:
        self.on_host("apps:destroy", app, "--force")

    def clean_up(self) -> None:
        """Remove what we made in the engine and on the peer."""
        if "web" in vars(self):
            self.web.leave_peer()
        api = self.engine.api
        for container in api.containers(all=True, filters={"label": self.id}):
            with contextlib.suppress(docker.errors.APIError):
                api.remove_container(container["Id"], force=True, v=True)
        for image in api.images(all=True, filters={"label": self.id}):
            with contextlib.suppress(docker.errors.APIError):
                api.remove_image(image["Id"], force=True)


@dataclass
class WebApp:
    """A deployed app, and its twin on the peer once somebody asks for it."""

    site: Site
    name: str
    image: str

    @cached_property
    def on_peer(self) -> str:
        """The name of the app on the peer."""
        name = f"bench-{os.getpid()}"
        self.site.ssh("peer", "apps:create", name)
        self.site.ssh("peer", "git:from-image", name, self.image)
        return name

    def leave_peer(self) -> None:
        if "on_peer" in vars(self):
            self.site.ssh("peer", "--force", "apps:destroy", self.on_peer)


def _ends(process: subprocess.Popen[bytes]) -> bool:
    """Wait for the end of a process, to the moment: Popen.wait with a timeout looks only every 50 ms."""
    descriptor = os.pidfd_open(process.pid)
    try:
        ended, _, _ = select.select([descriptor], [], [], PATIENCE_SECONDS)
    finally:
        os.close(descriptor)
    if ended:
        process.wait()
    return bool(ended)


def _answers(address: str, port: int, host: str, mark: str) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/", headers={"Host": host})
        answer = connection.getresponse()
        return answer.status == 200 and mark in answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _builder() -> str:
    """A Docker client that builds with BuildKit. One since version 23 does so only with its buildx component."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        client = str(Path(folder) / "docker")
        if os.access(client, os.X_OK):
            version = re.search(r"(\d+)\.", _said(client, "--version"))
            if _said(client, "buildx", "version") or (version and int(version[1]) < BUILDX_SINCE):
                return client
    raise Failed("No Docker client here builds with BuildKit. Install docker.io, or docker-buildx-plugin")


def _said(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


@contextlib.contextmanager
def open_site(peer: str | None) -> Iterator[Site]:
    """A running site; at the end nothing of it is left."""
    images.ensure((images.WEB, images.DATASETTE))
    with contextlib.ExitStack() as stack:
        base = Path(tempfile.mkdtemp(prefix="paas-bench-", dir="/tmp"))
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        engine = stack.enter_context(contextlib.closing(docker.from_env()))
        paas = stack.enter_context(running_paas())
        site = Site(base, paas, engine, shlex.split(peer) if peer else None)
        stack.callback(site.clean_up)
        stack.enter_context(site.kept)
        site.configs = stack.enter_context(running_sshd(paas, base)) | {
            "embedded": doors.embedded(paas).ssh_config
        }
        for name in site.configs:
            site.ssh(name, "version" if name in ("paas", "embedded") else "true")
        yield site
