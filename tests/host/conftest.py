"""Fixtures for tests that watch paas while it works: images made for one test, clients that run beside it."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import docker
import pytest
from support.clients import Client, until
from support.gated import let_go
from support.server import Paas

MakeImage = Callable[..., str]
Start = Callable[..., Client]
OpenGate = Callable[[str], None]


@pytest.fixture(scope="session")
def make_image(engine: docker.DockerClient, image_names: dict[str, str]) -> Iterator[MakeImage]:
    """`make_image(name, "LINE", …)`: the name of an image made from paas-test/shell by these Dockerfile lines."""
    made: list[str] = []

    def make(name: str, *lines: str) -> str:
        tag = f"paas-test-{os.getpid()}/{name}:latest"
        # Nothing here needs a grace period, and PID 1 ignores SIGTERM.
        content = "\n".join([f"FROM {image_names['shell']}", "STOPSIGNAL SIGKILL", *lines, ""])
        engine.images.build(fileobj=io.BytesIO(content.encode()), tag=tag, rm=True)
        made.append(tag)
        return tag

    yield make
    for tag in set(made):
        engine.api.remove_image(tag, force=True)


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(words, env, cwd=None)`: a program that runs beside the test and doesn't outlive it."""
    clients: list[Client] = []

    def begin(
        words: Sequence[str],
        env: Mapping[str, str],
        cwd: Path | None = None,
        stdin: IO[Any] | int = subprocess.DEVNULL,
    ) -> Client:
        clients.append(Client(words, env, cwd, stdin))
        return clients[-1]

    yield begin
    for client in clients:
        client.close()


@pytest.fixture
def open_gate(paas: Paas, engine: docker.DockerClient) -> OpenGate:
    """`open_gate(app)`: let the app's processes made from a GATED image listen, once one runs."""
    return lambda app: until(lambda: let_go(paas, engine, app)) and None
