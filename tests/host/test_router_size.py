"""500 apps routed: what one app's change sends, whom it touches, and what a kill in the middle of it leaves."""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import signal
from collections.abc import Iterator

import pytest
from test_router_support import Proxy, Start, Stream, Upstream, proxies, request, upstreams

from paas.agent import restock
from paas.agent.restock import Restock
from paas.console import Console
from paas.deploy.session import Session
from paas.deploy.switch import switch
from paas.model.caller import Caller
from paas.model.names import AppName
from paas.model.release import WEB, Process
from paas.router import Routes
from paas.router.difference import MARK
from paas.router.runtime import Runtime
from paas.store.apps import App

APPS = 500
STREAMS = 50  # a thread each in the upstream
STEPS = 30  # more than a switch has

proxy = pytest.fixture(proxies, name="proxy")
upstream = pytest.fixture(upstreams, name="upstream")


class Town:
    """Apps without containers: rows that lead to a few servers."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.session = self.newcomer()

    def newcomer(self) -> Session:
        """A session as another command has it."""
        console = Console(out=io.StringIO(), err=io.StringIO())
        return Session(self.proxy.settings, Caller("test", "host"), console)

    def fill(self, count: int, upstream: Upstream) -> None:
        with self.session.database.transaction():
            for number in range(1, count + 1):
                app = self.session.apps.create(AppName(f"app{number}"))
                self.session.releases.set_processes(app, [self.process(app, upstream)], [])
        self.session.reroute()

    def process(self, app: App, upstream: Upstream) -> Process:
        name = f"{upstream.who}-{app.id}".ljust(64, "-")
        return Process(name, app.id, 1, WEB, 1, "127.0.0.1", upstream.server_port)

    def switch(self, name: str, upstream: Upstream, session: Session | None = None) -> None:
        at = session or self.session
        app = at.apps.get(name)
        new = [self.process(app, upstream)]
        with at.routing():
            switch(at, app, new, lambda: at.releases.set_processes(app, new, []))

    def worker(self) -> int:
        with self.proxy.observing() as observed:
            return observed.pid

    def assert_in_step(self) -> None:
        """The files and HAProxy say what the database says."""
        text = (self.proxy.settings.router_dir / "haproxy.cfg").read_bytes()
        routes = self.session.routes()
        assert self.session.router.apply(routes).commands == ()
        assert (self.proxy.settings.router_dir / "haproxy.cfg").read_bytes() == text
        self.proxy.check_in_step()


@pytest.fixture
def town(proxy: Proxy) -> Iterator[Town]:
    town = Town(proxy)
    yield town
    town.session.database.close()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What HAProxy is told and asked."""
    commands: list[str] = []
    ask = Runtime.ask

    def listen(runtime: Runtime, command: str) -> str:
        commands.append(command)
        return ask(runtime, command)

    monkeypatch.setattr(Runtime, "ask", listen)
    return commands


def test_a_switch_among_500_apps_touches_one(
    proxy: Proxy, upstream: Start, town: Town, said: list[str]
) -> None:
    quiet, old, new = upstream("quiet"), upstream("old"), upstream("new")
    town.fill(APPS, quiet)
    worker = town.worker()
    with contextlib.ExitStack() as stack:
        idle: dict[str, tuple[http.client.HTTPConnection, object]] = {}
        for number in range(2, APPS + 1):
            connection = stack.enter_context(contextlib.closing(proxy.connect()))
            assert request(connection, f"app{number}.localhost") == (200, "quiet")
            idle[f"app{number}.localhost"] = connection, connection.sock
        streams = [Stream(proxy, host) for host in list(idle)[:STREAMS]]
        for stream in streams:
            stack.callback(stream.close)
        for target in (old, new, old, new):
            said.clear()
            town.switch("app1", target)
            asked = [command for command in said if command != "prompt"]
            assert all(
                "slot1" in command.replace("/", " ").split() or MARK in command for command in asked
            ), asked
            assert len(asked) < STEPS
            assert proxy.get("app1.localhost") == (200, target.who)
        assert all(stream.echoes(b"never touched") for stream in streams)
        for host, (connection, socket) in idle.items():
            assert request(connection, host) == (200, "quiet")
            assert connection.sock is socket
    town.assert_in_step()

    # One app more is one of the spare backends.
    town.session.apps.create(AppName("late"))
    town.switch("late", new)
    assert proxy.get("late.localhost") == (200, "new")
    town.assert_in_step()
    assert town.worker() == worker


def test_a_switch_that_is_killed_anywhere_is_put_right_by_the_next_one(
    proxy: Proxy, upstream: Start, town: Town
) -> None:
    """Of another app: it must notice that not all is in step."""
    one, two = upstream("one"), upstream("two")
    town.fill(2, one)
    town.session.database.close()
    killed = 0
    for step in range(STEPS):
        child = os.fork()
        if child == 0:
            _switch_until(town, step, two)
        killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        town.session = town.newcomer()
        town.switch("app2", (two, one)[step % 2])
        recorded = town.session.releases.processes(town.session.apps.get("app1").id)[0].container_id
        assert proxy.get("app1.localhost") == (200, recorded.partition("-")[0])
        town.assert_in_step()
        town.switch("app1", one)
        town.session.database.close()
    assert 5 < killed < STEPS
    town.session = town.newcomer()


def _switch_until(town: Town, step: int, target: Upstream) -> None:
    """In a process of its own: killed at the `step`th command to HAProxy."""
    left = [step]
    ask = Runtime.ask

    def count(runtime: Runtime, command: str) -> str:
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return ask(runtime, command)

    try:
        Runtime.ask = count  # type: ignore[method-assign]
        town.switch("app1", target, town.newcomer())
    finally:
        os._exit(0)


def test_a_worker_that_was_started_since_is_compared_in_full(
    proxy: Proxy, upstream: Start, town: Town, said: list[str]
) -> None:
    one, two = upstream("one"), upstream("two")
    town.fill(2, one)
    for interfere in (
        lambda: (proxy.kill(), proxy.start()),
        lambda: town.session.router.reload(town.session.routes()),
        lambda: town.session.router.apply(Routes()),
        lambda: (proxy.settings.router_dir / "haproxy.cfg").touch(),
    ):
        for target in (two, one):
            interfere()
            said.clear()
            town.switch("app1", target)
            assert "show servers state" in said
            assert proxy.get("app1.localhost") == (200, target.who)
            assert proxy.get("app2.localhost") == (200, "one")
        said.clear()
        town.switch("app1", two)
        assert "show servers state" not in said
        town.assert_in_step()
        town.session.reroute()


def test_the_agent_extends_the_stock_at_a_quiet_moment_and_closes_nobodys_connection(
    proxy: Proxy, upstream: Start, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = upstream("quiet")
    agent, plan = town.newcomer(), Restock()
    town.fill(32, quiet)
    plan.look(agent)
    assert plan.next_due() is None  # half of the stock is spare
    town.session.apps.create(AppName("more"))
    town.switch("more", quiet)
    plan.look(agent)
    assert plan.next_due() is not None
    worker = town.worker()
    plan.reload_due(agent)
    assert town.worker() == worker  # not quiet yet
    stream, idle = Stream(proxy, "app1.localhost"), proxy.connect()
    assert request(idle, "app1.localhost") == (200, "quiet")
    monkeypatch.setattr(restock, "QUIET_SECONDS", 0)
    town.session.properties.set(0, "any", "thing", "changes")
    plan.reload_due(agent)
    assert town.worker() != worker and plan.next_due() is None
    assert stream.echoes(b"over the reload")
    assert request(idle, "app1.localhost") == (200, "quiet")
    stream.close()
    idle.close()
    with proxy.observing() as observed:
        assert observed.identity.stock == 128
    town.assert_in_step()
    agent.database.close()


def test_the_files_are_written_where_nobody_runs(proxy: Proxy, upstream: Start, town: Town) -> None:
    one, two = upstream("one"), upstream("two")
    town.fill(1, one)
    proxy.stop()
    town.switch("app1", two)
    proxy.start()
    assert proxy.get("app1.localhost") == (200, "two")
    town.assert_in_step()
