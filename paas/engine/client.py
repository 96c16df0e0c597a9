"""The connection to the Docker Engine, and its failures as sentences."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from paas import trace
from paas.errors import Cancelled, EngineFailed, EngineUnavailable, PaasError
from paas.settings import ENGINE_SECONDS

if TYPE_CHECKING:
    from docker import APIClient

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
# For a ping, which a working engine answers in a millisecond, and a busy one in a few.
PING_SECONDS = 10
# For the same, once an answer was waited for in vain: nobody waits as long again for each of the next ones.
DOUBT_SECONDS = 3
POOL_SIZE = 16
REHEARSAL_SECONDS = 1

# By address, for the life of this process: its threads connect too.
_versions: dict[str, str] = {}


class DiskFull(PaasError):
    """The engine's disk is full: {reason}. Nothing was changed. Make room (docker system df shows what takes it), then send the command again"""


class _Doubt:
    """Whether the engine was waited for in vain, or the wait was given up. Then it is asked for a sign of life before
    anything else is asked of it."""

    address = DEFAULT_ADDRESS
    raised = False


def connect(docker_host: str | None, seconds: int = ENGINE_SECONDS[1]) -> APIClient:
    """A client of the engine at `docker_host`, which may take `seconds` for an answer that is no stream; streams (pull,
    load, build, wait) are `patience`'s. Raises EngineUnavailable."""
    from paas.engine.library import Client

    address = docker_host or DEFAULT_ADDRESS
    _Doubt.address = address
    with engine_errors(address):
        client = Client(address, timeout=seconds, num_pools=POOL_SIZE, max_pool_size=POOL_SIZE)
        if address not in _versions:
            wait = min(seconds, DOUBT_SECONDS if _Doubt.raised else PING_SECONDS)
            try:
                _versions[address] = client.ping_version(wait)
            except BaseException:
                client.close()
                raise
        client.speak(_versions[address])
    if trace.on():
        client.hooks["response"].append(trace.answered)
    return client


def rehearse(docker_host: str | None) -> None:
    """Ask the engine something, for nothing, and forget the answer: by the time of a command it may be another one."""
    try:
        with contextlib.closing(connect(docker_host, REHEARSAL_SECONDS)) as client:
            client.networks(names=["none"])
    finally:
        _versions.clear()
        _Doubt.raised = False


def ask_for_life(seconds: float = DOUBT_SECONDS) -> None:
    """Return when the engine answers a ping. Raises EngineUnavailable."""
    from paas.engine.library import Client

    with engine_errors(_Doubt.address), contextlib.closing(Client(_Doubt.address)) as client:
        client.ping_version(seconds)
    _Doubt.raised = False


def answers() -> bool:
    """Whether the engine shows a sign of life."""
    try:
        ask_for_life()
    except EngineUnavailable:
        return False
    return True


def settle_doubt() -> None:
    """Before each request: nothing, unless the engine was waited for in vain before. Raises EngineUnavailable."""
    if _Doubt.raised:
        ask_for_life()


@contextlib.contextmanager
def engine_errors(address: str = "") -> Iterator[None]:
    """Turn what the client library raises into EngineUnavailable, DiskFull or EngineFailed."""
    import requests.exceptions
    import urllib3.exceptions
    from docker.errors import APIError, DockerException

    try:
        yield
    except APIError as error:
        raise failure(str(error.explanation or error)) from error
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError, DockerException) as error:
        reason = _reason(error)
        _Doubt.raised |= reason == TIMED_OUT
        raise EngineUnavailable(address=address or _Doubt.address, reason=reason) from error
    except Cancelled:
        _Doubt.raised = True
        raise


@contextlib.contextmanager
def limit(client: APIClient, seconds: float | None) -> Iterator[None]:
    """For requests whose answer may take longer than others': so long inside of the block."""
    before, client.timeout = client.timeout, seconds  # type: ignore[assignment]
    try:
        yield
    finally:
        client.timeout = before


@contextlib.contextmanager
def patience(client: APIClient) -> Iterator[None]:
    """For requests whose answer may take as long as the user's data: no time limit inside of the block, as long as the
    engine shows signs of life. In the main thread only. Raises EngineUnavailable."""
    from paas.engine.patient import watched

    before, client.timeout = client.timeout, None  # type: ignore[assignment]
    try:
        with watched(before):
            yield
    finally:
        client.timeout = before


def failure(message: str) -> PaasError:
    """The error that fits an engine's message, on one line."""
    reason = " ".join(message.split()).rstrip(".")
    if "no space left on device" in reason.lower():
        return DiskFull(reason=reason)
    return EngineFailed(reason=reason)


TIMED_OUT = "timed out"


def _reason(error: Exception) -> str:
    text = str(error)
    for known in (
        "No such file or directory",
        "Connection refused",
        "Connection aborted",
        "Connection broken",
        "Permission denied",
        TIMED_OUT,
    ):
        if known in text:
            return known.lower()
    return re.sub(r"\s+", " ", text)[:200]
