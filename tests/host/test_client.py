"""`paas -H host …` on a laptop with an engine of its own, over both doors: what is sent, what is told, what goes on after a break."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.doors import HOST, Door
from support.images import STATIC
from support.private_engine import PrivateEngine, private_engine
from support.relay import Relay, relay
from support.repo import Repo
from support.server import STUB, Paas, Result, run

MB = 1024 * 1024
# What the issue allows beyond the missing layers.
SLACK_BYTES = 64 * 1024


@pytest.fixture(scope="module")
def laptop(image_names: dict[str, str]) -> Iterator[PrivateEngine]:
    """The engine of somebody's laptop."""
    with private_engine([STATIC.tag]) as engine:
        yield engine


class Laptop:
    """A user with a key, an engine and no paas: `paas WORDS` there."""

    def __init__(self, door: Door, engine: PrivateEngine, folder: Path) -> None:
        self.door, self.engine, self.folder = door, engine, folder
        self.config = folder / "ssh_config"
        self.config.write_text(door.ssh_config.read_text())
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PAAS_")}
        self.env = kept | {
            "PYTHONPATH": door.paas.env["PYTHONPATH"],
            "DOCKER_HOST": engine.host,
            "PAAS_SSH": f"ssh -F {self.config}",
            "GIT_CEILING_DIRECTORIES": "/",
        }
        self.user = re.findall(r"User (\w+)", self.config.read_text())[0]
        self.host = f"{self.user}@{HOST}"

    def paas(self, *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, input: bytes = b"") -> Result:
        command = [sys.executable, "-P", "-m", "paas.client", *words]
        return run(command, env=self.env | (env or {}), cwd=cwd or self.folder, input=input)

    def to_host(self, *words: str, **more: object) -> Result:
        return self.paas("-H", self.host, *words, **more)  # type: ignore[arg-type]

    def through(self, link: Relay) -> None:
        """From now on over this link."""
        self.config.write_text(re.sub(r"Port \d+", f"Port {link.port}", self.config.read_text()))

    @property
    def port(self) -> int:
        return int(re.findall(r"Port (\d+)", self.door.ssh_config.read_text())[0])

    def image(self, name: str, *layers: bytes, base: str = STATIC.tag) -> str:
        """Build one: `base` and a layer for each of these files."""
        folder = self.folder / "context"
        folder.mkdir(exist_ok=True)
        for number, data in enumerate(layers):
            (folder / str(number)).write_bytes(data)
        lines = [f"COPY {number} /layer-{number}\n" for number in range(len(layers))]
        (folder / "Dockerfile").write_text(f"FROM {base}\n{''.join(lines)}")
        built = self.engine.docker("build", "--quiet", "--tag", name, str(folder))
        assert built.returncode == 0, built.stderr
        return name


@pytest.fixture
def user(door: Door, laptop: PrivateEngine, tmp_path: Path) -> Laptop:
    return Laptop(door, laptop, tmp_path)


@pytest.fixture
def app(paas: Paas, request: pytest.FixtureRequest) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:40].strip("-")
    paas.command("apps:create", name).ok()
    return name


@pytest.fixture
def link(user: Laptop) -> Iterator[Relay]:
    with relay(user.port) as link:
        user.through(link)
        yield link


def test_a_second_deploy_sends_only_the_layer_that_changed(
    user: Laptop, paas: Paas, app: str, link: Relay
) -> None:
    base = user.image(f"{app}-base", os.urandom(8 * MB))
    first = user.to_host("git:load-image", app, user.image(f"{app}:1", b"one", base=base))
    assert "-----> Sending 4 of 4 layers" in first.ok() and "=====> Application deployed:" in first.out
    assert 8 * MB < link.sent < 8.3 * MB * 1.02 + SLACK_BYTES + 3 * MB
    assert paas.http_get(app, "/layer-0").body == "one"
    sent = link.sent
    content = os.urandom(MB)
    second = user.to_host("git:load-image", app, user.image(f"{app}:2", content, base=base))
    assert "-----> Sending 1 of 4 layers" in second.ok()
    assert MB < link.sent - sent <= 1.02 * (MB + 2048) + SLACK_BYTES
    assert user.engine.docker("ps", "--all", "--quiet").stdout == ""
