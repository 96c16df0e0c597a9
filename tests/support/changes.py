"""Every kind of change that an app under load goes through, as commands of a person."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

from support.server import Paas

PLAIN_IMAGE = "paas-test/traffic"
HEALTH_SECONDS = 5  # until a release that never listens is given up
# A run of all kinds: (kind, how often in a hundred).
SHARES = {
    "deploy": 20, "config:set": 18, "scale": 16, "restart": 14, "rollback": 12, "domains": 10, "certs:update": 8,
    "bad release": 2,
}  # fmt: skip


class Changes:
    """Changes of one app; `folder` is for certificates. Images are made from PLAIN_IMAGE under `prefix`."""

    def __init__(self, paas: Paas, app: str, folder: Path, prefix: str, drain_seconds: int) -> None:
        self.paas, self.app, self.folder, self.prefix = paas, app, folder, prefix
        self.drain_seconds = drain_seconds
        self.count = itertools.count(1)
        self.images: list[str] = []

    def set_up(self) -> None:
        """The app, serving over http and https."""
        paas, app = self.paas, self.app
        paas.command("apps:create", app).ok()
        settings = [f"WHO={app}", f"RELEASE_HEALTHCHECK_TIMEOUT={HEALTH_SECONDS}"]
        paas.command("config:set", "--no-restart", app, *settings).ok()
        paas.command("checks:set", app, "wait-to-retire", str(self.drain_seconds)).ok()
        paas.command("certs:set", app, "redirect", "false").ok()
        self.do("deploy")
        paas.command("certs:add", app, *self._certificate(0)).ok()

    def tear_down(self) -> None:
        """Remove the images."""
        for image in self.images:
            subprocess.run(["docker", "image", "rm", "--force", image], capture_output=True)

    def do(self, kind: str) -> None:
        """One change. Raises AssertionError when it does not come out as it should."""
        app, number = self.app, next(self.count)
        run = self.paas.command
        if kind == "deploy":
            run("git:from-image", app, self._image(f"ENV VERSION={number}")).ok()
        elif kind == "config:set":
            run("config:set", app, f"NUMBER={number}").ok()
        elif kind == "restart":
            run("ps:restart", app).ok()
        elif kind == "scale":
            self.processes = 1 if self.processes == 4 else 4
            run("ps:scale", app, f"web={self.processes}").ok()
        elif kind == "rollback":
            run("releases:rollback", app).ok()
        elif kind == "domains":
            self.extra = not self.extra
            run("domains:add" if self.extra else "domains:remove", app, f"other.{app}.localhost").ok()
        elif kind == "certs:update":
            run("certs:update", app, *self._certificate(number)).ok()
        else:
            refused = run("git:from-image", app, self._image(f"ENV MUTE={number}"))
            assert refused.code == 1, "a release that never listens was taken for healthy"

    processes, extra = 1, False

    def _image(self, line: str) -> str:
        """An image that differs from all before by a line of its Dockerfile."""
        tag = f"{self.prefix}/traffic:{len(self.images)}"
        text = f"FROM {PLAIN_IMAGE}\n{line}\n"
        words = ["docker", "build", "--quiet", "--tag", tag, "-"]
        subprocess.run(words, input=text, text=True, check=True, capture_output=True)
        self.images.append(tag)
        return tag

    def _certificate(self, number: int) -> tuple[str, str]:
        """A new certificate for the app's domains, each time another one."""
        chain, key = self.folder / f"{number}.crt", self.folder / f"{number}.key"
        names = f"subjectAltName=DNS:{self.app}.localhost,DNS:*.{self.app}.localhost"
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj"]
        words += [f"/CN={self.app}.localhost", "-addext", names, "-keyout", str(key), "-out", str(chain)]
        subprocess.run(words, check=True, capture_output=True)
        return str(chain), str(key)


def mixed(count: int) -> Iterator[str]:
    """`count` kinds in their shares, as evenly spread as can be."""
    total = sum(SHARES.values())
    done = dict.fromkeys(SHARES, 0)
    for number in range(1, count + 1):
        kind = max(SHARES, key=lambda name: SHARES[name] * number / total - done[name])
        done[kind] += 1
        yield kind
