"""Whether a started process may serve: app.json's checks, else Docker's HEALTHCHECK, else that it listens or stays up.

Polls at a hundredth of a second at first and ever slower, and looks each time whether the container still runs, so
that a good process is in rotation at once and a dead one is noticed at once.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from paas.deploy.containers.services import ServiceSettings
from paas.engine.containers import Containers, ContainerState
from paas.errors import PaasError
from paas.model.names import whole_number
from paas.model.release import WEB, Check, Release

FIRST_POLL_SECONDS = 0.01
LAST_POLL_SECONDS = 0.25
UPTIME_SECONDS = 3
DEFAULT_TIMEOUT_SECONDS = 60
MAX_TIMEOUT_SECONDS = 900
CONNECT_SECONDS = 1.0
SIMPLE_SECONDS = 30
TIMEOUT_KEY = "RELEASE_HEALTHCHECK_TIMEOUT"
# Aptible: with this set to true, /healthcheck has to answer exactly 200.
STRICT_KEY = "STRICT_HEALTH_CHECKS"
STRICT_CHECK = Check(name="strict", path="/healthcheck", attempts=1, headers=(("Host", "containers"),))
IMAGES_OWN = "HEALTHCHECK"
WORDS = {
    0: "it ended by itself",
    126: "its command can't be executed",
    127: "its command was not found",
    137: "it was killed",
    143: "it was terminated",
}


class Unhealthy(PaasError):
    """{name} did not become healthy: {reason}"""


@dataclass(frozen=True)
class Subject:
    """A container under check, as `address`:`port` from this machine; nobody waits any more once `abandoned`."""

    container_id: str
    name: str
    address: str
    port: int
    host: str
    abandoned: threading.Event


def timeout_seconds(release: Release) -> int:
    """How long web may take to answer: RELEASE_HEALTHCHECK_TIMEOUT in the app's config (1 to 900), else 60."""
    number = whole_number(release.config.get(TIMEOUT_KEY, ""), 0, 10**9)
    return DEFAULT_TIMEOUT_SECONDS if number is None else max(1, min(MAX_TIMEOUT_SECONDS, number))


def check(
    containers: Containers,
    subject: Subject,
    release: Release,
    process_type: str,
    health_test: tuple[str, ...],
    service: ServiceSettings,
) -> list[str]:
    """Return once the process is healthy, with warnings of checks that only warn. Raises Unhealthy."""
    warnings: list[str] = []
    for item in plan(release, process_type, health_test, service):
        try:
            run(containers, subject, item)
        except Unhealthy as error:
            if not item.warn_only or not _running(containers, subject):
                raise
            warnings.append(str(error))
    return warnings


def plan(
    release: Release, process_type: str, health_test: tuple[str, ...], service: ServiceSettings
) -> tuple[Check, ...]:
    """The checks of a process type: app.json's, else the one that fits what is known of it."""
    limit = timeout_seconds(release)
    defined = release.manifest.startup_checks(process_type)
    if defined:
        return defined
    if process_type != WEB and not (service.zero_downtime and health_test):
        seconds = SIMPLE_SECONDS if service.simple_health_check else UPTIME_SECONDS
        return (Check(name="default", uptime=seconds),)
    if process_type == WEB and release.config.get(STRICT_KEY) == "true":
        return (replace(STRICT_CHECK, timeout=limit),)
    if health_test:
        return (Check(name=IMAGES_OWN, command=health_test, attempts=1, timeout=limit),)
    return (Check(name="port listening check", listening=True, attempts=1, timeout=limit),)


def describe(item: Check, port: int) -> str:
    """What a check does, as Dokku's checker writes it: ``path='/' timeout=5 type='path'``."""
    if item.uptime:
        return f"type='uptime' uptime={item.uptime}"
    timing = f"attempts={item.attempts} timeout={item.timeout:g} wait={item.wait:g}"
    if item.listening:
        return f"port={item.port or port} {timing} type='listening'"
    if item.path:
        return f"path='{item.path}' {timing} type='path'"
    return f"{timing} type='command'"


def run(containers: Containers, subject: Subject, item: Check) -> None:
    """Return once one check has passed. Raises Unhealthy."""
    if item.initial_delay:
        _stay_up(containers, subject, item.initial_delay)
    if item.uptime:
        _stay_up(containers, subject, item.uptime)
        return
    limit = item.attempts * item.timeout + (item.attempts - 1) * item.wait
    port = item.port or subject.port
    if item.listening:
        target = replace(subject, port=port)
        _poll(containers, subject, lambda: _listens(target), limit, _not_listening(target, limit))
    elif item.path:
        last = [""]
        _poll(
            containers,
            subject,
            lambda: _answers(subject, item, port, last),
            limit,
            lambda: f"GET {item.path} did not pass within {limit:g} s ({last[0]})",
        )
    else:
        _poll(
            containers,
            subject,
            lambda: _command_passes(containers, subject, item.command, item.timeout),
            limit,
            f"{'its HEALTHCHECK' if item.name == IMAGES_OWN else 'the check command'} did not pass within {limit:g} s",
        )


def _poll(
    containers: Containers,
    subject: Subject,
    passes: Callable[[], bool],
    limit: float,
    reason: str | Callable[[], str],
) -> None:
    for _ in _moments(limit, subject.abandoned):
        if passes():
            return
        _require_running(containers, subject)
    raise Unhealthy(name=subject.name, reason=reason if isinstance(reason, str) else reason())


def _moments(limit: float, abandoned: threading.Event) -> Iterator[None]:
    """Points in time, close together at first, until `limit` seconds are over."""
    end = time.monotonic() + limit
    pause = FIRST_POLL_SECONDS
    while True:
        yield
        left = end - time.monotonic()
        if left <= 0 or abandoned.wait(min(pause, left)):
            return
        pause = min(pause * 1.5, LAST_POLL_SECONDS)


def _stay_up(containers: Containers, subject: Subject, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        # The engine answers the moment the container ends, so a crash is not waited for.
        if containers.wait(subject.container_id, max(1, round(left))) is not None:
            break
    _require_running(containers, subject)


def _require_running(containers: Containers, subject: Subject) -> None:
    state = containers.state(subject.container_id)
    if not state.running or state.restarts:
        raise Unhealthy(name=subject.name, reason=ending(state))


def _running(containers: Containers, subject: Subject) -> bool:
    return containers.state(subject.container_id).running


def ending(state: ContainerState) -> str:
    """How a container ended, in words."""
    if state.oom_killed:
        return "it ran out of memory and was killed"
    how = WORDS.get(state.exit_code)
    return f"it exited with code {state.exit_code}" + (f" ({how})" if how else "")


def _listens(subject: Subject) -> bool:
    try:
        with socket.create_connection((subject.address, subject.port), CONNECT_SECONDS):
            return True
    except OSError:
        return False


def _not_listening(subject: Subject, limit: float) -> str:
    return (
        f"nothing listens on port {subject.port} after {limit:g} s"
        " (it has to listen on 0.0.0.0, on the port that PORT says)"
    )


def _answers(subject: Subject, item: Check, port: int, last: list[str]) -> bool:
    connection: http.client.HTTPConnection
    if item.scheme == "https":
        # The container's own certificate, for a name that is not its address: it only has to speak TLS.
        connection = http.client.HTTPSConnection(
            subject.address,
            port,
            timeout=item.timeout,
            context=ssl._create_unverified_context(),  # noqa: S323
        )
    else:
        connection = http.client.HTTPConnection(subject.address, port, timeout=item.timeout)
    try:
        headers = {"Host": subject.host, "User-Agent": "paas-healthcheck"} | dict(item.headers)
        connection.request("GET", item.path or "/", headers=headers)
        response = connection.getresponse()
        body = response.read(1024 * 1024)
    except (OSError, http.client.HTTPException) as error:
        last[0] = str(error) or type(error).__name__
        return False
    finally:
        connection.close()
    if not 200 <= response.status < 300 or (item.name == STRICT_CHECK.name and response.status != 200):
        last[0] = f"it answered {response.status}"
        return False
    if item.content and item.content.encode("utf-8", "replace") not in body:
        last[0] = f"its answer does not hold {item.content!r}"
        return False
    return True


def _command_passes(
    containers: Containers, subject: Subject, command: tuple[str, ...], seconds: float
) -> bool:
    return containers.exec_code(subject.container_id, command, seconds) == 0
