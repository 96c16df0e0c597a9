"""Images on the engine: find, pull, load, tag."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from paas.console import Console
from paas.engine.client import engine_errors, failure, patience
from paas.errors import PaasError
from paas.model.image import ImageRef

if TYPE_CHECKING:
    from docker import APIClient

READ_BYTES = 1024 * 1024


class ImageNotFound(PaasError):
    """There is no image {image} here and none could be pulled: {reason}. Nothing was changed. Check the name and tag; a private image needs registry:login"""


class RegistryUnreachable(PaasError):
    """Failed to pull image: {image}. The registry {registry} can't be reached ({reason}). Nothing was changed. Check the name and the network, or send the image with git:load-image"""


class LoadFailed(PaasError):
    """The archive on standard input can't be loaded: {reason}. Nothing was changed. Send the output of docker image save, whole"""


@dataclass(frozen=True)
class Image:
    """What the engine says about an image; `size` in bytes, `ports` the EXPOSEd ones as ``8080/tcp``, `health_test` the
    command of its HEALTHCHECK (empty without one)."""

    id: str
    tags: tuple[str, ...]
    size: int
    command: tuple[str, ...]
    entrypoint: tuple[str, ...]
    ports: tuple[str, ...]
    on_build: tuple[str, ...]
    health_test: tuple[str, ...]
    working_dir: str

    @property
    def lowest_port(self) -> int | None:
        """The lowest EXPOSEd TCP port."""
        numbers = [int(port.split("/")[0]) for port in self.ports if port.endswith("/tcp")]
        return min(numbers) if numbers else None


class Images:
    """The engine's images."""

    def __init__(self, client: APIClient) -> None:
        self.client = client

    def find(self, name: str) -> Image | None:
        """By name, digest or id; None where the engine has no such image."""
        from docker.errors import NotFound

        with engine_errors():
            try:
                return _image(self.client.inspect_image(name))
            except NotFound:
                return None

    def resolve(self, ref: ImageRef) -> Image | None:
        """As `find`; ``repo@sha256:…`` may also carry an image's id, as Dokku's documents tell users to write
        for images that were never in a registry."""
        image = self.find(ref.name)
        if image is None and ref.digest and not ref.is_id:
            image = self.find(ref.digest)
        return image

    def pull(self, ref: ImageRef, console: Console, auth: dict[str, str] | None = None) -> Image:
        """Fetch from the registry, with progress. Raises ImageNotFound, RegistryUnreachable, EngineFailed."""
        from docker.errors import APIError, NotFound

        if ref.is_id:
            raise ImageNotFound(image=ref, reason="an image id can't be pulled")
        layers = _Layers(console, f"Pulling {ref.name}")
        with engine_errors():
            try:
                for event in self.client.pull(
                    ref.repository,
                    tag=ref.digest or ref.tag or "latest",
                    stream=True,
                    decode=True,
                    auth_config=auth,
                ):
                    if "error" in event:
                        raise pull_failure(ref, event["error"])
                    layers.update(event)
            except NotFound as error:
                raise pull_failure(ref, str(error.explanation)) from error
            except APIError as error:
                raise pull_failure(ref, str(error.explanation)) from error
        image = self.resolve(ref)
        if image is None:
            raise ImageNotFound(image=ref, reason="the engine pulled it, then did not find it")
        return image

    def load(self, archive: BinaryIO, console: Console) -> list[str]:
        """Stream a ``docker image save`` archive into the engine and return the names and ids it held.

        Nothing is kept in memory but one read. Raises LoadFailed, DiskFull.
        """
        from docker.errors import APIError

        progress = console.progress("Loading image")
        loaded: list[str] = []
        failed: str | None = None
        with engine_errors():
            try:
                with patience(self.client):
                    events = self.client.load_image(_chunks(archive, progress.bytes), quiet=True)
                for event in events:
                    text = str(event.get("stream", "")).strip()
                    if event.get("error"):
                        failed = str(event["error"])
                    elif text.startswith("Loaded image"):
                        loaded.append(text.partition(": ")[2])
            except APIError as error:
                failed = str(error.explanation)
            except ConnectionError as error:
                # The engine hangs up on an archive that it can't read before the client has sent all of it.
                failed = str(error)
        console.end_live()
        if failed:
            raise load_failure(failed)
        return loaded

    def tag(self, image_id: str, name: str) -> None:
        """Give an image another name (``repository:tag``)."""
        repository, _, tag = name.rpartition(":")
        with engine_errors():
            self.client.tag(image_id, repository, tag, force=True)

    def untag(self, name: str) -> None:
        """Remove a name, and the image with its last one. Does nothing when it is gone or still in use."""
        from docker.errors import APIError, NotFound

        with engine_errors():
            try:
                self.client.remove_image(name)
            except NotFound:
                pass
            except APIError as error:
                if error.status_code != 409:
                    raise

    def names(self) -> dict[str, str]:
        """Every tag on the engine and the id behind it."""
        with engine_errors():
            return {tag: item["Id"] for item in self.client.images() for tag in item["RepoTags"] or ()}

    def read_files(self, image_id: str, paths: Iterable[str]) -> dict[str, bytes]:
        """Small files of an image, read from a container that is created but never run. Missing ones are left
        out, links and folders too."""
        import io
        import tarfile

        from docker.errors import NotFound

        found: dict[str, bytes] = {}
        with engine_errors():
            # An image with neither CMD nor ENTRYPOINT can't be created without a command.
            container = self.client.create_container(image_id, command=["-"])["Id"]
            try:
                for path in paths:
                    try:
                        stream, _ = self.client.get_archive(container, path)
                    except NotFound:
                        continue
                    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
                        member = tar.next()
                        file = tar.extractfile(member) if member and member.isreg() else None
                        if file:
                            found[path] = file.read()
            finally:
                self.client.remove_container(container, force=True)
        return found


def _chunks(archive: BinaryIO, report: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    while chunk := archive.read(READ_BYTES):
        done += len(chunk)
        yield chunk
        report(done)


def pull_failure(ref: ImageRef, message: str) -> PaasError:
    """The error that fits what the engine said about a pull."""
    reason = " ".join(message.split())
    unreachable = (
        "dial tcp",
        "lookup",
        "timeout",
        "connection refused",
        "proxyconnect",
        "no such host",
        "EOF",
    )
    if any(mark in reason for mark in unreachable):
        return RegistryUnreachable(image=ref, registry=ref.registry, reason=reason)
    error = failure(reason)
    return error if "no space" in reason else ImageNotFound(image=ref, reason=reason)


def load_failure(message: str) -> PaasError:
    reason = " ".join(message.split())
    if "no space left on device" in reason:
        return failure(reason)
    if "repositories: no such file" in reason or "manifest.json" in reason:
        reason = "it holds no image"
    elif "unexpected EOF" in reason or "Broken pipe" in reason:
        reason = "it ends early or is no tar archive"
    return LoadFailed(reason=reason)


class _Layers:
    """Adds up the layers' bytes of a pull."""

    def __init__(self, console: Console, what: str) -> None:
        self.progress = console.progress(what)
        self.done: dict[str, int] = {}
        self.total: dict[str, int] = {}

    def update(self, event: dict[str, Any]) -> None:
        detail = event.get("progressDetail") or {}
        if event.get("status") == "Downloading" and detail.get("total"):
            self.done[event["id"]] = detail["current"]
            self.total[event["id"]] = detail["total"]
            self.progress.bytes(sum(self.done.values()), sum(self.total.values()))
        elif event.get("status") in ("Download complete", "Pull complete") and event.get("id") in self.total:
            self.done[event["id"]] = self.total[event["id"]]


def _image(data: dict[str, Any]) -> Image:
    config = data.get("Config") or {}
    return Image(
        id=data["Id"],
        tags=tuple(data.get("RepoTags") or ()),
        size=data.get("Size", 0),
        command=tuple(config.get("Cmd") or ()),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        ports=tuple(sorted(config.get("ExposedPorts") or ())),
        on_build=tuple(config.get("OnBuild") or ()),
        health_test=_health_test(config),
        working_dir=config.get("WorkingDir") or "/",
    )


def _health_test(config: dict[str, Any]) -> tuple[str, ...]:
    kind, *words = (config.get("Healthcheck") or {}).get("Test") or ["NONE"]
    if kind == "CMD-SHELL":
        return (*(config.get("Shell") or ("/bin/sh", "-c")), *words)
    return tuple(words) if kind == "CMD" else ()
