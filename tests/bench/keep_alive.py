"""Whether a connection to a process is used for one request or kept for more: requests/s, and POSTs that are lost.

    PYTHONPATH=tests:. .venv/bin/python -P -m bench.keep_alive

A process closes a connection that was idle for its own keep-alive time. A request that is sent on it in that moment is
lost, and a POST must not be sent twice. The same HAProxy is measured with `option http-server-close`, as
paas.router.configuration has it, without, and with idle connections given up soon. Needs nginx-light and wrk.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support.clients import until_it_listens
from support.images import IMAGES
from support.server import free_port

from paas.router import HAProxy, Route, Routes, Server
from paas.router.configuration import CONFIG_FILE
from paas.settings import Settings

OPTION = "    option http-server-close\n"
CONNECTIONS = (1, 64)
LOAD_SECONDS = 3
KEEP_ALIVE_SECONDS = 1
SPREAD_SECONDS = 0.01  # around the moment at which the process closes the connection
POSTING_CLIENTS = 300
SERVER = "server web.1 127.0.0.1"
# A variant's name: whether connections are kept, and what is said of the server.
VARIANTS = {"closed": (False, ""), "kept": (True, ""), "kept shortly": (True, " pool-purge-delay 100ms")}
HOST = "app.localhost"
NGINX = """\
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello"; }} }}
}}
"""


@contextlib.contextmanager
def running(words: list[str], port: int, **env: str) -> Iterator[None]:
    """A program that listens on a port."""
    with subprocess.Popen(words, env={**os.environ, **env}, stderr=subprocess.DEVNULL) as process:
        try:
            until_it_listens(process, port)
            yield
        finally:
            process.terminate()


@contextlib.contextmanager
def router(folder: Path, upstream: int, variant: str) -> Iterator[int]:
    """Our HAProxy in front of a port; gives its port."""
    kept, options = VARIANTS[variant]
    port = free_port()
    listen = {"PAAS_HTTP_LISTEN": f"127.0.0.1:{port}", "PAAS_HTTPS_LISTEN": f"127.0.0.1:{free_port()}"}
    settings = Settings.from_environment({"PAAS_ROOT": str(folder / variant), **listen})
    haproxy = HAProxy(settings)
    haproxy.write(Routes((Route("app", 1, 1, (HOST,), (Server("web.1", "127.0.0.1", upstream),)),)))
    if kept:
        path = settings.router_dir / CONFIG_FILE
        text = path.read_text()
        assert OPTION in text
        path.write_text(re.sub(rf"({SERVER}\S*)", rf"\1{options}", text.replace(OPTION, "")))
    with running(haproxy.command(), port):
        yield port


def requests_per_second(port: int, connections: int) -> float:
    words = ["wrk", "-t1", f"-c{connections}", f"-d{LOAD_SECONDS}", "-H", f"Host: {HOST}", f"http://127.0.0.1:{port}/"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    return float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0])


async def lost_posts(port: int, seconds: float) -> tuple[int, int]:
    """POSTs about as far from each other as the process keeps a connection: (how many, how many were lost)."""
    end = asyncio.get_running_loop().time() + seconds
    sent = lost = 0

    async def client() -> None:
        nonlocal sent, lost
        while asyncio.get_running_loop().time() < end:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.suppress(OSError, EOFError):
                while asyncio.get_running_loop().time() < end:
                    writer.write(f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nhello".encode())
                    sent += 1
                    lost += 1
                    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                    length = re.search(r"content-length: (\d+)", head)
                    await reader.readexactly(int(length[1]) if length else 0)
                    if " 200 " not in head.partition("\r\n")[0]:
                        break
                    lost -= 1
                    await asyncio.sleep(KEEP_ALIVE_SECONDS + random.uniform(-SPREAD_SECONDS, SPREAD_SECONDS))  # noqa: S311
            writer.close()

    await asyncio.gather(*(client() for _ in range(POSTING_CLIENTS)))
    return sent, lost


def main() -> int:
    options = _options()
    found: dict[str, dict[str, object]] = {name: {} for name in VARIANTS}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp")))
        port = free_port()
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
        stack.enter_context(running(["nginx", "-c", str(folder / "nginx.conf")], port))
        ports = {name: stack.enter_context(router(folder, port, name)) for name in found}
        for connections in CONNECTIONS:
            rounds = [
                {name: requests_per_second(at, connections) for name, at in ports.items()} for _ in range(options.rounds)
            ]
            for name, row in found.items():
                row[f"requests/s, {connections} connections"] = round(statistics.median(item[name] for item in rounds))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp")))
        port = free_port()
        app = [sys.executable, "-I", str(IMAGES / "traffic" / "app.py")]
        stack.enter_context(running(app, port, PORT=str(port), KEEP_ALIVE=str(KEEP_ALIVE_SECONDS)))
        for name in found:
            at = stack.enter_context(router(folder, port, name))
            sent, lost = asyncio.run(lost_posts(at, options.seconds))
            found[name] |= {"POSTs": sent, "lost POSTs": lost}
    print(json.dumps(found, indent=2))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.keep_alive", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--seconds", type=float, default=60, metavar="N", help="of POSTs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
