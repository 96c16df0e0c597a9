"""Processes that die under load: how long until they are out of rotation, and what became of the requests.

    PYTHONPATH=tests:. .venv/bin/python -P -m bench.deaths

An app of two processes, GET requests over kept and over new connections; one process after the other is killed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import docker
from support import images
from support.changes import Changes
from support.clients import until
from support.in_step import check_in_step
from support.server import Paas, running_paas
from support.under_load import under_load

from paas.router.configuration import CONTROL_SOCKET
from paas.router.difference import read_servers
from paas.router.runtime import Runtime

CLIENTS = {"get": 8, "new": 4}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.deaths", description=__doc__)
    parser.add_argument("--deaths", type=int, default=10, metavar="N")
    options = parser.parse_args()
    images.ensure([images.TRAFFIC])
    engine = docker.from_env()
    out, back = [], []
    with tempfile.TemporaryDirectory() as folder, running_paas() as paas:
        changes = Changes(paas, "traffic", Path(folder), f"paas-test-{os.getpid()}", 0)
        try:
            changes.set_up()
            paas.command("ps:scale", "traffic", "web=2").ok()
            labels = {"label": [f"paas.root={paas.root}"], "status": "running"}
            until(lambda: serving(paas) == 2)
            with under_load(paas, "traffic.localhost", CLIENTS, who="traffic") as load:
                for number in range(options.deaths):
                    time.sleep(2)
                    victim = sorted(item["Id"] for item in engine.api.containers(filters=labels))[number % 2]
                    started = time.monotonic()
                    engine.api.kill(victim)
                    until(lambda: serving(paas) == 1)
                    out.append(time.monotonic() - started)
                    until(lambda: serving(paas) == 2)
                    back.append(time.monotonic() - started)
                    check_in_step(paas)
                results = load.stop()
        finally:
            changes.tear_down()
    for what, values in (("out of rotation", out), ("back in rotation", back)):
        middle, most = statistics.median(values), max(values)
        print(f"{what} after {middle * 1000:.0f} ms (median), {most * 1000:.0f} ms (longest of {len(values)})")
    for kind, row in results.items():
        print(kind, {name: len(value) if isinstance(value, list) else value for name, value in row.items()})
    return 1 if load.misses else 0


def serving(paas: Paas) -> int:
    """How many processes HAProxy sends requests to."""
    with Runtime(paas.root / "run" / CONTROL_SOCKET) as runtime:
        return sum(server.serving for server in read_servers(runtime.ask("show servers state slot1")).values())


if __name__ == "__main__":
    sys.exit(main())
