"""What the router's tests are made of: a private HAProxy and HTTP servers on loopback ports. No tests in here."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from support.server import free_port

from paas.router import Change, HAProxy, Route, Routes, Server
from paas.router.difference import Observed, observe
from paas.router.runtime import Runtime
from paas.settings import Settings

START_SECONDS = 10.0


class Handler(BaseHTTPRequestHandler):
    """Says who answers and what arrived; `/slow` takes a second; an upgrade echoes lines."""

    protocol_version = "HTTP/1.1"
    server: Upstream

    def do_GET(self) -> None:
        if self.headers.get("Upgrade"):
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "echo")
            self.end_headers()
            while line := self.rfile.readline():
                self.wfile.write(line)
            self.close_connection = True
            return
        if self.path == "/slow":
            time.sleep(1)
        body = json.dumps({"who": self.server.who, "headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


class Upstream(ThreadingHTTPServer):
    """One process of an app."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, who: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.who = who
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def server(self) -> Server:
        return Server(self.who, "127.0.0.1", self.server_port)

    def handle_error(self, *_: object) -> None:
        pass  # a cut connection is part of a test


class Proxy:
    """A private HAProxy: its settings, its router, its process."""

    def __init__(self, root: Path) -> None:
        self.port, self.tls_port = free_port(), free_port()
        self.settings = Settings.from_environment(
            {
                "PAAS_ROOT": str(root),
                "PAAS_HTTP_LISTEN": f"127.0.0.1:{self.port}",
                "PAAS_HTTPS_LISTEN": f"127.0.0.1:{self.tls_port}",
            }
        )
        self.router = HAProxy(self.settings)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start from the files as they are."""
        with (self.settings.root / "haproxy.log").open("ab") as log:
            self.process = subprocess.Popen(self.router.command(), stdout=log, stderr=log)
        wait_until(self.router.is_running)

    def kill(self) -> None:
        """kill -9 of all of it."""
        assert self.process is not None
        with self.observing() as observed:
            worker = observed.pid
        self.process.kill()
        self.process.wait()
        wait_until(lambda: not Path(f"/proc/{worker}").exists())  # follows its master

    def stop(self) -> float:
        """TERM; returns the seconds it took."""
        started = time.monotonic()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(START_SECONDS)
        return time.monotonic() - started

    @contextlib.contextmanager
    def observing(self) -> Iterator[Observed]:
        with Runtime(self.settings.run_dir / "haproxy.sock") as runtime:
            yield observe(runtime.ask)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def get(self, host: str, path: str = "/") -> tuple[int, str]:
        """Status, and who answered or the page."""
        with contextlib.closing(self.connect()) as connection:
            return request(connection, host, path)

    def apply(self, *routes: Route) -> Change:
        """Apply, then compare the running state with what the files say."""
        change = self.router.apply(Routes(routes))
        assert self.router.apply(Routes(routes)).commands == ()
        self.check_in_step()
        return change

    def check_in_step(self) -> None:
        text = (self.settings.router_dir / "haproxy.cfg").read_text()
        slot, filed = "", set()
        for line in text.splitlines():
            words = line.split()
            if line.startswith("backend slot"):
                slot = words[1]
            elif slot and words[0] == "server":
                filed.add((slot, words[1], words[2]))
        lines = (self.settings.router_dir / "domains.map").read_text().splitlines()
        with self.observing() as observed:
            assert observed.entries == dict(line.split() for line in lines)
            listed = (self.settings.router_dir / "certificates/list.txt").read_text().splitlines()
            files = {line.split()[0] for line in listed}
            assert files == {f"certificates/{name}.pem" for name in observed.certificates}
            there = (self.settings.router_dir / "certificates").glob("*.pem")
            assert files == {f"certificates/{path.name}" for path in there}
            assert filed == {
                (backend, name, f"{running.address}:{running.port}")
                for (backend, name), running in observed.servers.items()
                if running.serving
            }
            assert f"description paas/{observed.identity.shape}/" in text


def request(
    connection: http.client.HTTPConnection,
    host: str,
    path: str = "/",
    body: bytes | None = None,
    **headers: str,
) -> tuple[int, str]:
    connection.request("GET" if body is None else "POST", path, body, headers={"Host": host, **headers})
    answer = connection.getresponse()
    text = answer.read().decode()
    return answer.status, json.loads(text)["who"] if answer.status == 200 else text


def wait_until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not done():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def route(slot: int, domains: str = "", *upstreams: Upstream) -> Route:
    return Route(f"app{slot}", slot, slot, tuple(domains.split()), tuple(one.server for one in upstreams))


class Stream:
    """A websocket-like connection through the proxy."""

    def __init__(self, proxy: Proxy, host: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
        head = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
        self.socket.sendall(head.encode())
        self.file = self.socket.makefile("rb")
        assert b" 101 " in self.file.readline()
        while self.file.readline() != b"\r\n":
            pass

    def echoes(self, text: bytes) -> bool:
        self.socket.sendall(text + b"\n")
        return self.file.readline() == text + b"\n"

    def ended(self) -> bool:
        with contextlib.suppress(ConnectionResetError):
            return self.file.readline() == b""
        return True

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def proxies(tmp_path: Path) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path)
    proxy.router.write(Routes())
    proxy.start()
    yield proxy
    assert proxy.stop() < 3


def upstreams() -> Iterator[Callable[[str], Upstream]]:
    with contextlib.ExitStack() as stack:

        def start(who: str) -> Upstream:
            one = Upstream(who)
            stack.callback(one.server_close)
            stack.callback(one.shutdown)
            return one

        yield start


Start = Callable[[str], Upstream]
