"""Images on the engine: find, pull, load, tag."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paas.console import Console
from paas.engine.client import engine_errors, failure, patience
from paas.engine.containers import Containers
from paas.engine.pull import PullFailed, pull
from paas.errors import PaasError
from paas.model.image import ImageRef

if TYPE_CHECKING:
    from docker import APIClient

MAX_FILE_BYTES = 1024 * 1024
# What engines before 25 list for an image that has no name.
NAMELESS = "<none>:<none>"
# The bits of Go's os.FileMode that are set for all but ordinary files.
GO_FILE_TYPE = 0x8F280000


class FileTooBig(PaasError):
    """{path} in the image {image} is {size} bytes long, more than the 1 MB that are read. Nothing was deployed. Make it smaller"""


class LoadFailed(PaasError):
    """The archive on standard input can't be loaded: {reason}. Nothing was changed. Send the output of docker image save, whole"""


@dataclass(frozen=True)
class Image:
    """What the engine says about an image; `size` in bytes, `ports` the EXPOSEd ones as ``8080/tcp``, `health_test` the
    command of its HEALTHCHECK (empty without one), `digests` the ``repository@sha256:…`` under which registries keep it,
    `layers` the diff ids of its layers from the lowest."""

    id: str
    tags: tuple[str, ...]
    size: int
    command: tuple[str, ...]
    entrypoint: tuple[str, ...]
    ports: tuple[str, ...]
    on_build: tuple[str, ...]
    health_test: tuple[str, ...]
    working_dir: str
    digests: tuple[str, ...]
    layers: tuple[str, ...] = ()

    def comes_from(self, repository: str) -> bool:
        """Whether it was pulled from, or pushed to, this repository: not just some other one."""
        return any(digest.partition("@")[0] == repository for digest in self.digests)

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
        """Fetch from the registry, with progress. Raises PullFailed, DiskFull, EngineUnavailable."""
        pull(self.client, ref, console, auth)
        image = self.resolve(ref)
        if image is None:
            raise PullFailed(image=ref, what="The engine pulled it, then did not find it", advice="Try again")
        return image

    def load(self, chunks: Iterable[bytes], console: Console) -> list[str]:
        """Stream a ``docker image save`` archive into the engine and return the names and ids it held.

        What the chunks raise ends it. Raises LoadFailed, DiskFull.
        """
        from docker.errors import APIError

        progress = console.progress("Loading image")
        loaded: list[str] = []
        failed: str | None = None
        with engine_errors(), patience(self.client):
            try:
                events = self.client.load_image(_counted(chunks, progress.bytes), quiet=True)
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

    def nameless(self, labels: dict[str, str]) -> list[str]:
        """The ids of images without a name that carry these labels and that no other image is made from."""
        marks = [f"{name}={value}" for name, value in labels.items()]
        with engine_errors():
            found = self.client.images(filters={"dangling": True, "label": marks})
        return [item["Id"] for item in found]

    def trim_build_cache(self, keep_bytes: int) -> int:
        """Let the builder forget what it used least lately beyond so many bytes; how many that freed."""
        with engine_errors(), patience(self.client):
            return int(self.client.prune_builds(keep_storage=keep_bytes, all=True).get("SpaceReclaimed") or 0)

    def of_repository(self, repository: str) -> list[str]:
        """The ids of the images with that name, whatever their tags, the newest first."""
        with engine_errors():
            return [item["Id"] for item in self.client.images(name=repository)]

    @property
    def needs_every_layer(self) -> bool:
        """Whether an archive has to hold the layers that are here already: containerd's image store takes no others."""
        with engine_errors():
            return is_containerd_store(self.client.info())

    def names(self) -> dict[str, str]:
        """Every tag on the engine and the id behind it."""
        with engine_errors():
            return {
                tag: item["Id"]
                for item in self.client.images()
                for tag in item["RepoTags"] or ()
                if tag != NAMELESS
            }

    def read_files(
        self,
        image_id: str,
        paths: Iterable[str],
        labels: dict[str, str] | None = None,
        leave: Callable[[str], object] | None = None,
    ) -> dict[str, bytes]:
        """Small files of an image, read from a container with `labels` that is created but never run. Missing ones are left
        out, links and folders too. Raises FileTooBig.

        The container is removed, or left to `leave`, which gets its id."""
        import io
        import tarfile

        from docker.errors import NotFound

        found: dict[str, bytes] = {}
        with engine_errors():
            # An image with neither CMD nor ENTRYPOINT can't be created without a command.
            container = self.client.create_container(image_id, command=["-"], labels=labels)["Id"]
        try:
            with engine_errors():
                for path in paths:
                    try:
                        stream, info = self.client.get_archive(container, path)
                    except NotFound:
                        continue
                    # Closed unread, a folder or a giant costs no more than its first bytes.
                    with contextlib.closing(stream):
                        if info["mode"] & GO_FILE_TYPE:
                            continue
                        if info["size"] > MAX_FILE_BYTES:
                            raise FileTooBig(path=path, image=image_id, size=info["size"])
                        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
                            file = tar.extractfile(tar.next() or "")
                            found[path] = file.read() if file else b""
        finally:
            (leave or Containers(self.client).remove)(container)
        return found


def _counted(chunks: Iterable[bytes], report: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    for chunk in chunks:
        done += len(chunk)
        yield chunk
        report(done)


def is_containerd_store(info: dict[str, Any]) -> bool:
    """What `docker info` says of the image store."""
    return ["driver-type", "io.containerd.snapshotter.v1"] in (info.get("DriverStatus") or [])


def load_failure(message: str) -> PaasError:
    reason = " ".join(message.split())
    if "no space left on device" in reason:
        return failure(reason)
    if "repositories: no such file" in reason or "manifest.json" in reason:
        reason = "it holds no image"
    elif "unexpected EOF" in reason or "Broken pipe" in reason:
        reason = "it ends early or is no tar archive"
    return LoadFailed(reason=reason)


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
        digests=tuple(data.get("RepoDigests") or ()),
        layers=tuple((data.get("RootFS") or {}).get("Layers") or ()),
    )


def _health_test(config: dict[str, Any]) -> tuple[str, ...]:
    kind, *words = (config.get("Healthcheck") or {}).get("Test") or ["NONE"]
    if kind == "CMD-SHELL":
        return (*(config.get("Shell") or ("/bin/sh", "-c")), *words)
    return tuple(words) if kind == "CMD" else ()
