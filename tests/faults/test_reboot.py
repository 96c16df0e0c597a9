"""The machine is started again: everything of Docker and of paas is ended, politely or not, and started."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.clients import until
from support.private_engine import PrivateEngine, private_engine
from support.server import Paas, running_paas
from support.state import current_release

WEB = "paas-test/web"
APPS = [f"app{number}" for number in range(20)]
STOPPED, SCALED = "stopped", APPS[0]


@pytest.fixture(scope="module")
def own(image_names: dict[str, str]) -> Iterator[PrivateEngine]:
    with private_engine([WEB]) as started:
        yield started


@pytest.fixture(scope="module")
def paas(own: PrivateEngine) -> Iterator[Paas]:
    """20 apps that serve, one of them with two processes, and one that is stopped."""
    with running_paas(own.within, DOCKER_HOST=own.host) as server:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda app: deploy(server, app), [*APPS, STOPPED]))
        server.command("ps:scale", SCALED, "web=2").ok()
        server.command("ps:stop", STOPPED).ok()
        yield server


def deploy(paas: Paas, app: str) -> None:
    paas.command("apps:create", app).ok()
    paas.command("checks:set", app, "wait-to-retire", "0").ok()
    paas.command("config:set", "--no-restart", app, f"GREETING={app}").ok()
    paas.command("git:from-image", app, WEB).ok()


def serving(paas: Paas) -> int:
    """How many of the apps answer, each for itself."""
    found = 0
    for app in APPS:
        with contextlib.suppress(OSError):
            found += f"<h1>{app} " in paas.http_get(app).body
    return found


def containers(own: PrivateEngine) -> list[str]:
    """App, release and state of every container."""
    format = '{{.Label "paas.app"}} {{.Label "paas.release"}} {{.State}}'
    return sorted(own.docker("ps", "--all", "--format", format).stdout.splitlines())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["politely", "power failure"])
def test_a_machine_that_starts_again(own: PrivateEngine, paas: Paas, number: signal.Signals) -> None:
    until(lambda: own.inside(lambda: serving(paas)) == len(APPS))
    # The one that was stopped is on its way out.
    until(lambda: len(containers(own)) == len(APPS) + 1, lambda: containers(own))
    before = containers(own)
    releases = {app: current_release(paas, app) for app in APPS}
    assert all(item.endswith(" running") for item in before), before
    paas.stop(number)
    own.power_off(number)
    paas.start()
    started = time.monotonic()
    own.start()
    up = time.monotonic()
    until(lambda: own.inside(lambda: serving(paas)) == len(APPS), lambda: (containers(own), paas.last_log()))
    print(f"\n{len(APPS)} apps serve {time.monotonic() - up:.1f} s after both are up, {time.monotonic() - started:.1f} s after Docker was started ({number.name})")
    until(lambda: containers(own) == before, lambda: (before, containers(own)))
    assert {app: current_release(paas, app) for app in APPS} == releases
    assert own.inside(lambda: paas.http_get(STOPPED)).status == 503
