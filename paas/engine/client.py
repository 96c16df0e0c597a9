"""The connection to the Docker Engine, and its failures as sentences."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from paas import trace
from paas.errors import EngineFailed, EngineUnavailable, PaasError

if TYPE_CHECKING:
    from docker import APIClient

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
# Longer than any answer that is not a stream; streams (pull, load, build, wait) say their own.
ANSWER_SECONDS = 60
POOL_SIZE = 16

# By address, for the life of this process: its threads connect too.
_versions: dict[str, str] = {}


class DiskFull(PaasError):
    """The engine's disk is full: {reason}. Nothing was changed. Make room (docker system df shows what takes it), then send the command again"""


def connect(docker_host: str | None) -> APIClient:
    """A client of the engine at `docker_host`. Raises EngineUnavailable."""
    import docker
    from docker.constants import DEFAULT_DOCKER_API_VERSION as NEWEST

    address = docker_host or DEFAULT_ADDRESS
    with engine_errors(address):
        if address not in _versions:
            # With a version given, the library asks nothing by itself.
            probing = docker.APIClient(base_url=address, version=NEWEST, timeout=ANSWER_SECONDS)
            with contextlib.closing(probing) as probe:
                _versions[address] = _api_version(probe, NEWEST)
        client = docker.APIClient(
            base_url=address,
            version=_versions[address],
            timeout=ANSWER_SECONDS,
            num_pools=POOL_SIZE,
            max_pool_size=POOL_SIZE,
        )
    if trace.on():
        client.hooks["response"].append(trace.answered)
    return client


def _api_version(probe: APIClient, newest: str) -> str:
    """The newest API that both sides speak. A ping tells it in half a millisecond, where the library's own way,
    asking for the version, costs six."""
    answer = probe.get(f"{probe.base_url}/_ping", timeout=ANSWER_SECONDS)
    answer.raise_for_status()
    versions = (answer.headers.get("Api-Version", ""), newest)
    return min((item for item in versions if item), key=lambda item: [int(part) for part in item.split(".")])


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
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise EngineUnavailable(address=address or "its socket", reason=_reason(error)) from error
    except DockerException as error:
        raise EngineUnavailable(address=address or "its socket", reason=_reason(error)) from error


@contextlib.contextmanager
def patience(client: APIClient) -> Iterator[None]:
    """For requests whose answer may take as long as the user's data: no time limit inside the block."""
    before, client.timeout = client.timeout, None  # type: ignore[assignment]
    try:
        yield
    finally:
        client.timeout = before


def failure(message: str) -> PaasError:
    """The error that fits an engine's message, on one line."""
    reason = " ".join(message.split()).rstrip(".")
    if "no space left on device" in reason.lower():
        return DiskFull(reason=reason)
    return EngineFailed(reason=reason)


def _reason(error: Exception) -> str:
    text = str(error)
    for known in (
        "No such file or directory",
        "Connection refused",
        "Connection aborted",
        "Permission denied",
        "timed out",
    ):
        if known in text:
            return known.lower()
    return re.sub(r"\s+", " ", text)[:200]
