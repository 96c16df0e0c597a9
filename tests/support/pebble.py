"""A certificate authority on loopback: Debian's pebble, and its challtestsrv as the DNS in which every name is here."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from paas.model.certificate import self_signed
from support.clients import until
from support.server import free_port


class Pebble:
    """One authority: `directory` is its URL, `ca` the file of what vouches for its server."""

    def __init__(self, folder: Path, http_port: int, valid_seconds: int) -> None:
        """`http_port`: where it asks for the files of a domain. `valid_seconds`: the lifetime of its certificates."""
        self.folder = folder
        self.port, self.management, self.dns, self.dns_management = (free_port() for _ in range(4))
        self.directory = f"https://localhost:{self.port}/dir"
        self.ca = folder / "ca.pem"
        made, _ = self_signed("localhost", {})
        self.ca.write_text(made.chain)
        (folder / "key.pem").write_text(made.key)
        config = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.ca),
            "privateKey": str(folder / "key.pem"),
            "httpPort": http_port,
            "tlsPort": free_port(),
            "certificateValidityPeriod": valid_seconds,
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start it, with its DNS, and wait until it answers. Its accounts are new ones."""
        environment = os.environ | {"PEBBLE_VA_NOSLEEP": "1"}
        dns = ["-dns01", f"127.0.0.1:{self.dns}", "-defaultIPv6", "", "-management", f"127.0.0.1:{self.dns_management}"]
        off = [word for name in ("-http01", "-https01", "-tlsalpn01") for word in (name, "")]
        words = ["pebble", "-config", str(self.folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{self.dns}"]
        with (self.folder / "pebble.log").open("ab") as log:
            for command in (["pebble-challtestsrv", *dns, *off], words):
                self.processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        until(self._answers, lambda: self.log)

    def stop(self) -> None:
        """End it as a crash would."""
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes = []

    @property
    def log(self) -> str:
        return (self.folder / "pebble.log").read_text(errors="replace")

    def lose(self, domain: str) -> None:
        """From now on the DNS has no address for a name."""
        self._tell("add-a", {"host": f"{domain}.", "addresses": ["127.0.0.2"]})

    def find(self, domain: str) -> None:
        """The name is here again."""
        self._tell("clear-a", {"host": f"{domain}."})

    def root(self) -> str:
        """The certificate of its root, PEM: what its clients' browsers would trust."""
        return self._get(f"https://localhost:{self.management}/roots/0").decode()

    def _get(self, url: str) -> bytes:
        context = ssl.create_default_context(cafile=str(self.ca))
        with urllib.request.urlopen(url, context=context, timeout=10) as answer:
            data: bytes = answer.read()
            return data

    def _tell(self, what: str, words: dict[str, object]) -> None:
        url = f"http://127.0.0.1:{self.dns_management}/{what}"
        with urllib.request.urlopen(url, json.dumps(words).encode(), timeout=10):
            pass

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self._get(self.directory))
        return False


@contextlib.contextmanager
def running_pebble(folder: Path, http_port: int, valid_seconds: int = 90 * 24 * 3600) -> Iterator[Pebble]:
    """A started one that does not outlive the block."""
    pebble = Pebble(folder, http_port, valid_seconds)
    pebble.start()
    try:
        yield pebble
    finally:
        pebble.stop()
