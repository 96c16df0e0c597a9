"""Looking for texts that nobody may see: in files, git objects, images, processes and answers, in each form in which they
could lie there."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import docker

from support.clients import until
from support.server import Paas


def forms(secret: str) -> set[bytes]:
    """A text as it is, in a URL, in JSON, and base64 of it at any place of a longer text."""
    data = secret.encode()
    found = {data, quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode(), data.hex().encode()}
    for before in range(3):
        # Only what does not depend on what stands around it.
        text = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        inner = text[(before * 8 + 5) // 6 : len(text) - 1]
        found |= {inner.encode(), inner.replace("+", "-").replace("/", "_").encode()}
    return found


class Secrets:
    """Texts by what they are, and which of them is in some bytes."""

    def __init__(self, secrets: dict[str, str]) -> None:
        self.secrets = secrets
        self._forms = {name: forms(secret) for name, secret in secrets.items()}

    def in_bytes(self, data: bytes) -> set[str]:
        """The names of those in `data`."""
        return {name for name, found in self._forms.items() if any(form in data for form in found)}

    def in_files(self, folder: Path) -> dict[str, set[str]]:
        """File → names, of all files below; the objects of git repositories are looked into."""
        found: dict[str, set[str]] = {}
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file() and not path.is_symlink() and (names := self.in_bytes(path.read_bytes())):
                    found[str(path.relative_to(folder))] = names
        for head in folder.rglob("HEAD"):
            if (head.parent / "objects").is_dir():
                words = ["git", f"--git-dir={head.parent}", "cat-file", "--batch-all-objects", "--batch"]
                objects = subprocess.run(words, capture_output=True, check=False).stdout
                if names := self.in_bytes(objects):
                    found[f"{head.parent.relative_to(folder)} (objects)"] = names
        return found

    def in_images(self, engine: docker.DockerClient, names: Iterable[str]) -> dict[str, set[str]]:
        """Image → names, of what `docker save` writes: layers, configuration, history."""
        found: dict[str, set[str]] = {}
        for name in names:
            data = b"".join(engine.images.get(name).save())
            if hits := self.in_bytes(data):
                found[name] = hits
        return found


class Watch:
    """Reads every process's command line, and the environment of those that are in no container, over and over, while the
    block runs. What the tests themselves start is not looked at: nobody can send a password without having it."""

    def __init__(self, secrets: Secrets) -> None:
        self.secrets = secrets
        self.found: set[str] = set()
        self.seen: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._namespace = Path("/proc/self/ns/pid").readlink()

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    self._look(process)

    def _look(self, process: Path) -> None:
        command = (process / "cmdline").read_bytes()
        new = command not in self.seen
        self.seen.add(command)
        if new and (names := self.secrets.in_bytes(command)) and not self._ours(process):
            self.found.add(f"command line of {_shown(command)}: {names}")
        if (process / "ns/pid").readlink() == self._namespace:
            names = self.secrets.in_bytes((process / "environ").read_bytes())
            if names and not self._ours(process):
                self.found.add(f"environment of {_shown(command)}: {names}")

    def _ours(self, process: Path) -> bool:
        status = (process / "status").read_text()
        parent = int(status.partition("PPid:")[2].split()[0])
        return os.getpid() in (parent, int(process.name))


def _shown(command: bytes) -> str:
    return command.replace(b"\0", b" ").decode(errors="replace")[:120]


def images_of(engine: docker.DockerClient, paas: Paas) -> set[str]:
    """The ids of all images that carry this installation's label or serve its containers."""
    mine = {"label": f"paas.root={paas.root}"}
    found = {item["Id"] for item in engine.api.images(all=True, filters=mine)}
    return found | {item["ImageID"] for item in engine.api.containers(all=True, filters=mine)}


def described(engine: docker.DockerClient, paas: Paas) -> str:
    """All that the engine tells about what paas made: containers, their images, how those were built."""
    mine = {"label": f"paas.root={paas.root}"}
    # What an image was read from is about to go.
    until(lambda: all(item["State"] != "created" for item in engine.api.containers(all=True, filters=mine)))
    containers = engine.api.containers(all=True, filters=mine)
    assert containers
    found: list[object] = [engine.api.inspect_container(item["Id"]) for item in containers]
    for item in images_of(engine, paas):
        found += [engine.api.inspect_image(item), engine.api.history(item)]
    return json.dumps(found)


def below(folder: Path, *secrets: str) -> list[str]:
    """The files of a folder that hold one of the texts."""
    return list(Secrets(dict(zip(secrets, secrets, strict=True))).in_files(folder))
