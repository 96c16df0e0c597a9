"""A load that runs beside a test, and what became of its requests."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from support.server import Paas

LOAD = Path(__file__).with_name("load.py")
STOP_SECONDS = 90


class UnderLoad:
    """`results` is filled when the load has ended: by kind of request, as `support.load` says."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.results: dict[str, dict[str, Any]] = {}

    def stop(self) -> dict[str, dict[str, Any]]:
        """Let requests under way finish, and take the results."""
        out, _ = self.process.communicate(timeout=STOP_SECONDS)
        assert self.process.returncode == 0, "the load itself failed"
        self.results = json.loads(out)
        return self.results

    @property
    def misses(self) -> list[str]:
        """Every request that failed or was reset."""
        return [text for kind in self.results.values() for text in (*kind["failed"], *kind["reset"])]


@contextlib.contextmanager
def under_load(paas: Paas, host: str, clients: Mapping[str, int], **options: object) -> Iterator[UnderLoad]:
    """Requests for a host of a running paas; see `support.load.Load` for clients and options."""
    words = {"port": paas.http_port, "tls_port": paas.https_port, "host": host, "clients": clients, **options}
    process = subprocess.Popen(
        [sys.executable, str(LOAD), json.dumps(words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield UnderLoad(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()
