"""A real HAProxy in front of real HTTP servers on loopback ports: routing, switching, draining, restarting, reloading."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from paas.router import Change, HAProxy, Route, RouterFailed, Routes, Server
from paas.router.difference import Observed, observe, read_servers
from paas.router.runtime import Runtime
from paas.settings import Settings

pytestmark = pytest.mark.skipif(
    shutil.which("haproxy", path="/usr/sbin:/usr/bin") is None, reason="no HAProxy"
)

APPS = 500
SWITCHES = 20  # under load
REQUESTS_BETWEEN_SWITCHES = 100
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
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.settings = Settings.from_environment(
            {"PAAS_ROOT": str(root), "PAAS_HTTP_LISTEN": f"127.0.0.1:{self.port}"}
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
            assert observed.domains == dict(line.split() for line in lines)
            assert filed == {
                (f"slot{number}", name, f"{running.address}:{running.port}")
                for (number, name), running in observed.servers.items()
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


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path)
    proxy.router.write(Routes())
    proxy.start()
    yield proxy
    assert proxy.stop() < 3


@pytest.fixture
def upstream() -> Iterator[Callable[[str], Upstream]]:
    with contextlib.ExitStack() as stack:

        def start(who: str) -> Upstream:
            one = Upstream(who)
            stack.callback(one.server_close)
            stack.callback(one.shutdown)
            return one

        yield start


Start = Callable[[str], Upstream]


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


def test_an_unknown_host_gets_a_404_that_names_nobody(proxy: Proxy, upstream: Start) -> None:
    proxy.apply(route(1, "blog.example.org", upstream("blog")))
    for host in ("other.example.org", "example.org", "127.0.0.1", "[::1]:80", "*.example.org", ""):
        status, page = proxy.get(host)
        assert status == 404
        assert "nothing at this address" in page and "app" not in page and "blog" not in page


def test_domains_wildcards_case_and_ports(proxy: Proxy, upstream: Start) -> None:
    proxy.apply(
        route(1, "blog.example.org www.blog.org *.example.org", upstream("blog")),
        route(2, "*.api.example.org", upstream("api")),
        route(3, "x.api.example.org", upstream("exact")),
    )
    for host, who in {
        "blog.example.org": "blog",
        "BLOG.Example.ORG:8080": "blog",
        "blog.example.org.": "blog",
        "www.blog.org": "blog",
        "anything.example.org": "blog",
        "two.labels.example.org": "blog",
        "v1.api.example.org": "api",
        "a.b.c.d.e.api.example.org:1": "api",
        "x.api.example.org": "exact",
        "api.example.org": "blog",
    }.items():
        assert proxy.get(host) == (200, who), host
    assert proxy.get("example.org")[0] == 404
    assert proxy.get("notexample.org")[0] == 404


def test_no_servers_or_dead_ones_give_a_503_page(proxy: Proxy, upstream: Start) -> None:
    dead = upstream("dead")
    dead.shutdown()
    dead.server_close()
    proxy.apply(route(1, "none.localhost"), route(2, "dead.localhost", dead))
    for host in ("none.localhost", "dead.localhost"):
        status, page = proxy.get(host)
        assert status == 503 and "Not available right now" in page


def test_a_dead_server_costs_no_request_while_another_lives(proxy: Proxy, upstream: Start) -> None:
    dead, alive = upstream("dead"), upstream("alive")
    dead.shutdown()
    dead.server_close()
    proxy.apply(route(1, "a.localhost", dead, alive))
    with contextlib.closing(proxy.connect()) as connection:
        for body in (None, b"data") * 10:
            assert request(connection, "a.localhost", body=body) == (200, "alive")


def test_forwarded_headers_are_ours_alone(proxy: Proxy, upstream: Start) -> None:
    proxy.apply(route(1, "a.localhost", upstream("a")))
    forged = dict.fromkeys(
        (
            *("X-Forwarded-For", "X-FORWARDED-PROTO", "X_Forwarded_Proto", "X-Forwarded-Host", "x-real-ip"),
            *("Forwarded", "Proxy", "X-Request-Start", "X-Aptible-Health-Check"),
        ),
        "forged",
    )
    with contextlib.closing(proxy.connect()) as connection:
        connection.request("GET", "/", headers={"Host": "a.localhost", "X-Mine": "kept", **forged})
        headers: dict[str, Any] = json.loads(connection.getresponse().read())["headers"]
    assert "forged" not in headers.values()
    got = {name.lower(): value for name, value in headers.items()}
    assert got["x-mine"] == "kept" and got["host"] == "a.localhost"
    assert got["x-forwarded-for"] == "127.0.0.1"
    assert got["x-forwarded-proto"] == "http" and got["x-forwarded-port"] == str(proxy.port)
    assert abs(int(got["x-request-start"].removeprefix("t=")) / 1000 - time.time()) < 60


def test_no_request_is_lost_while_servers_are_switched(proxy: Proxy, upstream: Start) -> None:
    """Keep-alive clients on the app that is switched and on one that is not."""
    other = route(2, "other.localhost", upstream("other"))
    old = upstream("r0")
    proxy.apply(route(1, "a.localhost", old), other)
    counts, failures, stop = {"a.localhost": 0, "other.localhost": 0}, [], threading.Event()

    def load(host: str, body: bytes | None) -> None:
        with contextlib.closing(proxy.connect()) as connection:
            try:
                while not stop.is_set():
                    status, text = request(connection, host, body=body)
                    assert status == 200, text
                    counts[host] += 1
            except Exception as error:
                failures.append(f"{host}: {error!r}")

    clients = [
        threading.Thread(target=load, args=(host, body)) for host in counts for body in (None, b"x" * 5000)
    ]
    for client in clients:
        client.start()
    try:
        for number in range(1, SWITCHES + 1):
            new = upstream(f"r{number}")
            proxy.apply(route(1, "a.localhost", new), other)
            assert proxy.router.finish_drains([(1, old.who)], 5) == ()
            old.shutdown()
            old.server_close()  # nothing listens there any more
            assert proxy.get("a.localhost") == (200, new.who)
            old, seen = new, counts["a.localhost"]
            target = seen + REQUESTS_BETWEEN_SWITCHES
            wait_until(partial(lambda target: failures or counts["a.localhost"] > target, target))
    finally:
        stop.set()
        for client in clients:
            client.join()
    print(f"\n{SWITCHES} switches under {counts}: {len(failures)} failed")
    assert failures == []


def test_a_slow_request_is_waited_for_and_a_stream_cut_at_the_deadline(proxy: Proxy, upstream: Start) -> None:
    old, new = upstream("old"), upstream("new")
    proxy.apply(route(1, "a.localhost", old))
    answers: list[tuple[int, str]] = []
    slow = threading.Thread(target=lambda: answers.append(proxy.get("a.localhost", "/slow")))
    slow.start()
    stream = Stream(proxy, "a.localhost")
    wait_until(lambda: not proxy.router.drained(1, "old"))
    proxy.apply(route(1, "a.localhost", new))
    assert proxy.router.draining() == ((1, "old"),)
    assert proxy.get("a.localhost") == (200, "new")
    assert stream.echoes(b"still here") and not proxy.router.drained(1, "old")
    assert proxy.router.finish_drains([(1, "old")], 2) == ((1, "old"),)
    slow.join()
    assert answers == [(200, "old")]
    assert stream.ended()
    stream.close()
    assert proxy.router.draining() == ()
    assert proxy.router.drained(1, "old")
    proxy.router.remove(1, "old")  # again: fine


def test_a_server_comes_back_from_drain_and_moves_to_another_address(proxy: Proxy, upstream: Start) -> None:
    one, two = upstream("one"), upstream("two")
    proxy.apply(route(1, "a.localhost", one))
    proxy.apply(route(1, "a.localhost"))
    assert proxy.get("a.localhost")[0] == 503
    proxy.apply(route(1, "a.localhost", one))
    assert proxy.get("a.localhost") == (200, "one")
    moved = Route("app1", 1, 1, ("a.localhost",), (Server("one", "127.0.0.1", two.server_port),))
    proxy.apply(moved)
    assert proxy.get("a.localhost") == (200, "two")
    proxy.apply()
    assert proxy.get("a.localhost")[0] == 404


def test_killed_and_started_again_it_serves_the_same(proxy: Proxy, upstream: Start) -> None:
    proxy.apply(
        route(1, "a.localhost *.b.localhost", upstream("one")), route(5, "c.localhost", upstream("two"))
    )
    proxy.kill()
    assert not proxy.router.is_running()
    proxy.start()
    proxy.check_in_step()
    assert proxy.get("x.b.localhost") == (200, "one")
    assert proxy.get("c.localhost") == (200, "two")
    # Servers that came from the file can be replaced and deleted like added ones.
    proxy.apply(route(1, "a.localhost", upstream("three")))
    proxy.router.finish_drains(proxy.router.draining(), 1)
    assert proxy.router.draining() == ()
    assert proxy.get("a.localhost") == (200, "three")


def test_what_changed_while_it_was_down_is_served_when_it_is_back(proxy: Proxy, upstream: Start) -> None:
    proxy.stop()
    assert not proxy.router.apply(Routes((route(1, "a.localhost", upstream("a")),))).running
    proxy.start()
    assert proxy.get("a.localhost") == (200, "a")


def test_one_switch_among_many_apps(proxy: Proxy, upstream: Start) -> None:
    """Print what one app's switch costs with 500 routed, and that only that app is touched."""
    quiet, old, new = upstream("quiet"), upstream("old"), upstream("new")
    others = [route(slot, f"app{slot}.localhost", quiet) for slot in range(2, APPS + 1)]
    proxy.apply(route(1, "app1.localhost", old), *others)
    stream = Stream(proxy, "app500.localhost")
    seconds = []
    for turn in range(20):
        target = (new, old)[turn % 2]
        routes = Routes((route(1, "app1.localhost", target), *others))
        started = time.perf_counter()
        change = proxy.router.apply(routes)
        seconds.append(time.perf_counter() - started)
        assert len(change.commands) <= 3 and all("slot1/" in command for command in change.commands)
    seconds.sort()
    with proxy.observing() as observed:
        memory = Path(f"/proc/{observed.pid}/status").read_text().partition("VmRSS:")[2].split()[0]
    print(
        f"\napply with {APPS} apps: median {seconds[10] * 1e3:.1f} ms, worst {seconds[-1] * 1e3:.1f} ms; "
        f"HAProxy's worker {int(memory) / 1024:.0f} MB"
    )
    assert stream.echoes(b"never touched")
    stream.close()


def test_running_out_of_slots_reloads_and_closes_nobodys_connection(proxy: Proxy, upstream: Start) -> None:
    old, new, late = upstream("old"), upstream("new"), upstream("late")
    proxy.apply(route(1, "a.localhost", old))
    assert proxy.apply(route(1, "a.localhost", old), route(40, "b.localhost", late)).reload_due
    idle = proxy.connect()
    assert request(idle, "a.localhost") == (200, "old")
    stream = Stream(proxy, "a.localhost")
    change = proxy.apply(route(1, "a.localhost", old), route(65, "c.localhost", late))
    assert change.reloaded and not change.reload_due
    assert proxy.get("c.localhost") == (200, "late")
    assert stream.echoes(b"over the reload")

    # The old worker hands over: the idle connection's next request goes where the app is now.
    proxy.apply(route(1, "a.localhost", new), route(65, "c.localhost", late))
    idle.request("GET", "/", headers={"Host": "a.localhost"})
    answer = json.loads(idle.getresponse().read())
    idle.close()
    assert answer["who"] == "new"
    got = {name.lower(): value for name, value in answer["headers"].items()}
    assert got["x-forwarded-for"] == "127.0.0.1" and got["x-forwarded-port"] == str(proxy.port)
    assert not proxy.router.drained(1, "old")  # the stream is still there, in the old worker
    assert stream.echoes(b"and still")
    assert proxy.router.finish_drains([(1, "old")], 0.2) == ((1, "old"),)
    assert stream.ended()
    stream.close()
    with Runtime(proxy.settings.run_dir / "haproxy.sock") as runtime:
        assert not [key for key in read_servers(runtime.ask("show servers state")) if key[1] == "old"]


def test_reloads_on_request_under_load_lose_nothing(proxy: Proxy, upstream: Start) -> None:
    routes = Routes((route(1, "a.localhost", upstream("a")),))
    proxy.router.apply(routes)
    stop, failures, count = threading.Event(), [], [0]

    def load() -> None:
        connection = proxy.connect()
        try:
            while not stop.is_set():
                assert request(connection, "a.localhost") == (200, "a")
                count[0] += 1
        except Exception as error:
            failures.append(repr(error))
        finally:
            connection.close()

    clients = [threading.Thread(target=load) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for _ in range(5):
            proxy.router.reload(routes)
            time.sleep(0.1)
    finally:
        stop.set()
        for client in clients:
            client.join()
    print(f"\n5 reloads under {count[0]} requests: {len(failures)} failed")
    assert failures == []


def test_another_shape_is_reloaded(proxy: Proxy, upstream: Start) -> None:
    """HAProxy runs what an older paas, or other settings, wrote."""
    config = proxy.settings.router_dir / "haproxy.cfg"
    proxy.stop()
    config.write_text(config.read_text().replace("description paas/", "description paas/0"))
    proxy.start()
    assert proxy.apply(route(1, "a.localhost", upstream("a"))).reloaded
    assert proxy.get("a.localhost") == (200, "a")


def test_a_file_that_haproxy_refuses_changes_nothing(
    proxy: Proxy, upstream: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = Routes((route(1, "a.localhost", upstream("a")),))
    proxy.router.apply(routes)
    monkeypatch.setattr("paas.router.configuration.THREADS", "many")
    with pytest.raises(RouterFailed, match="nbthread"):
        proxy.router.apply(routes)
    assert proxy.get("a.localhost") == (200, "a")


def test_a_root_with_a_long_path(tmp_path: Path, upstream: Start) -> None:
    """Longer than a socket's path may be."""
    root = tmp_path / ("long and spaced " * 8)
    root.mkdir()
    proxy = Proxy(root)
    proxy.router.write(Routes())
    proxy.start()
    try:
        assert len(str(proxy.settings.run_dir)) > 108
        proxy.apply(route(1, "a.localhost", upstream("a")))
        assert proxy.get("a.localhost") == (200, "a")
        assert proxy.router.reload(Routes()).reloaded is False  # the difference needed none
        assert proxy.get("a.localhost")[0] == 404
    finally:
        proxy.stop()
