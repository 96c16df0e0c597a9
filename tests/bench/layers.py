"""What a second deploy of a big image sends and how long it takes: `python -P -m bench.layers` in tests/, JSON with --json.

The laptop is an engine of its own; what it sends goes through a private sshd. Beside `paas -H` stand the plain pipe into
`docker load` and into git:load-image. The content is random, so nothing is won by packing it, but for the last row.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

from support.archives import tar_of
from support.images import STATIC
from support.private_engine import PrivateEngine, private_engine
from support.relay import relay
from support.server import CHECKOUT

from bench.machine import describe, headline
from bench.site import Site, open_site

MB = 1_000_000
LAYERS = 8
TOP_BYTES = 4 * MB
SLOW_BYTES_PER_SECOND = 8 * MB
NAME = "paas-bench/layers"


def main() -> int:
    arguments = argparse.ArgumentParser(prog="bench.layers", description=__doc__)
    arguments.add_argument("--megabytes", type=int, default=2000)
    arguments.add_argument("--json", metavar="FILE", help="write the numbers there")
    options = arguments.parse_args()
    with private_engine([STATIC.tag]) as laptop, open_site(None) as site:
        machine = describe(CHECKOUT, site.engine)
        rows = list(Bench(site, laptop, options.megabytes * MB).rows())
    sys.stdout.write(f"{headline(machine)}\n\n| what | seconds | MB/s | bytes on the wire | |\n|---|---|---|---|---|\n")
    for row in rows:
        cells = (row["what"], f"{row['seconds']:.2f}", row.get("rate", ""), row.get("wire", ""), row.get("note", ""))
        sys.stdout.write("| " + " | ".join(map(str, cells)) + " |\n")
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))
    return 0


class Bench:
    def __init__(self, site: Site, laptop: PrivateEngine, size: int) -> None:
        self.site, self.laptop, self.size = site, laptop, size
        self.env = site.env | {"DOCKER_HOST": laptop.host, "PYTHONPATH": str(CHECKOUT)}
        self.label = site.id

    def rows(self) -> Iterator[dict[str, object]]:
        self._load_base()
        images = [self._top(number, os.urandom(TOP_BYTES)) for number in (1, 2)]
        ssh = " ".join(self.site.host("paas")[:-1])
        shell = self.site.host("shell")
        whole = self._pipe(images[0], [*shell, *self.site.docker_there, "load"])
        yield self._row("docker image save, piped to docker load", whole, self.size)
        self.site.forget_image(images[0])
        self.site.on_host("apps:create", "piped")
        piped = self._pipe(images[0], [*self.site.host("paas"), "git:load-image", "piped", images[0]])
        yield self._row("the same to git:load-image", piped, self.size, f"{whole / piped:.2f} of the plain rate")
        self.site.forget_app("piped")
        self.site.forget_image(images[0])
        self.site.on_host("apps:create", "sent")
        full = self._paas(ssh, "sent", images[0])
        yield self._row("paas -H git:load-image, first", full, self.size, f"{full / whole:.2f} times docker load")
        with relay(self._port(ssh)) as link:
            changed = self._paas(f"{ssh} -p {link.port}", "sent", images[1])
            sent = link.sent + link.received
        most = 1.02 * (TOP_BYTES + 2048) + 65536
        note = f"{100 * changed / full:.1f} % of the first (goal 5), {sent / most:.2f} of the bytes allowed"
        yield {"what": "paas -H, one layer of 4 MB changed", "seconds": changed, "wire": sent, "note": note}
        again = self._paas(ssh, "sent", images[1])
        yield self._row("paas -H, nothing changed", again)
        text = self._top(3, b"".join(b"%d lines of text\n" % n for n in range(40 * MB // 20)))
        with relay(self._port(ssh), rate=SLOW_BYTES_PER_SECOND) as link:
            slow = self._paas(f"{ssh} -p {link.port}", "sent", text)
            yield self._row("paas -H, a layer of text over a link of 8 MB/s", slow, 40 * MB) | {"wire": link.sent}
        self.site.forget_app("sent")
        for image in (*images, text):
            self.site.forget_image(image)

    def _row(self, what: str, seconds: float, size: int = 0, note: str = "") -> dict[str, object]:
        return {"what": what, "seconds": seconds, "rate": f"{size / seconds / MB:.0f}" if size else "", "note": note}

    def _port(self, ssh: str) -> int:
        return int(re.findall(r"Port (\d+)", Path(ssh.split()[-1]).read_text())[0])

    def _paas(self, ssh: str, app: str, image: str) -> float:
        command = [sys.executable, "-P", "-m", "paas.client", "-H", "root@host", "git:load-image", app, image]
        return self._timed([command], self.env | {"PAAS_SSH": ssh})

    def _pipe(self, image: str, command: list[str]) -> float:
        return self._timed([["docker", "image", "save", image], command], self.env)

    def _timed(self, commands: list[list[str]], env: dict[str, str]) -> float:
        started = time.perf_counter()
        source = None
        for command in commands:
            process = subprocess.Popen(
                command, env=env, stdin=source or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            source = process.stdout
        output = process.communicate()[0].decode(errors="replace")
        seconds = time.perf_counter() - started
        if process.returncode:
            raise RuntimeError(output)
        return seconds

    def _top(self, number: int, data: bytes) -> str:
        """The big image with one more layer."""
        context = tar_of({"Dockerfile": f"FROM {NAME}:base\nCOPY data /data\nLABEL {self.label}\n", "data": data})
        words = ["docker", "build", "--quiet", "--tag", f"{NAME}:{number}", "-"]
        subprocess.run(words, env=self.env, input=context, capture_output=True, check=True)
        return f"{NAME}:{number}"

    def _load_base(self) -> None:
        """Give the laptop an image of that size that serves, whose layers are random."""
        static = subprocess.run(["docker", "image", "save", STATIC.tag], env=self.env, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(static)) as saved:
            files = {item.name: saved.extractfile(item).read() for item in saved if item.isreg()}  # type: ignore[union-attr]
        manifest = json.loads(files["manifest.json"])[0]
        config = json.loads(files[manifest["Config"]])
        config["history"] = []
        words = ["docker", "image", "load"]
        with (
            subprocess.Popen(words, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as load,
            tarfile.open(fileobj=load.stdin, mode="w|") as archive,
        ):

            def add(name: str, data: bytes) -> None:
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))

            for name in manifest["Layers"]:
                add(name, files[name])
            for number in range(LAYERS):
                layer = tar_of({f"random-{number}": os.urandom(self.size // LAYERS)})
                add(f"{number}.tar", layer)
                config["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(layer).hexdigest()}")
                manifest["Layers"].append(f"{number}.tar")
            manifest["RepoTags"] = [f"{NAME}:base"]
            manifest["Config"] = "config.json"
            add("config.json", json.dumps(config).encode())
            add("manifest.json", json.dumps([manifest]).encode())
        if load.returncode:
            raise RuntimeError("docker load failed")


if __name__ == "__main__":
    sys.exit(main())
