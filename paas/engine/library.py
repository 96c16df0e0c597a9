"""The client library's client, for an engine that may have stopped answering. Imported late: it is large."""

from __future__ import annotations

from typing import Any

import docker
import requests
from docker.constants import DEFAULT_DOCKER_API_VERSION as NEWEST

from paas.engine.client import settle_doubt

# The sign of life itself.
PING = "/_ping"


class Client(docker.APIClient):
    """Asks for a sign of life first where the engine was waited for in vain before. Raises EngineUnavailable."""

    def __init__(self, address: str, **options: Any) -> None:
        # With a version given, the library asks nothing by itself.
        super().__init__(base_url=address, version=NEWEST, **options)
        # No proxy stands before a socket of this machine, so none is looked for with each request.
        self.trust_env = not address.startswith("unix:")

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        if request.path_url != PING:
            settle_doubt()
        return super().send(request, **options)

    def ping_version(self, seconds: float) -> str:
        """The newest API that both sides speak, after `seconds` at the most. A ping tells it in half a millisecond, where
        the library's own way, asking for the version, costs six."""
        answer = self.get(self.base_url + PING, timeout=seconds)
        answer.raise_for_status()
        versions = (answer.headers.get("Api-Version", ""), NEWEST)
        return min((item for item in versions if item), key=lambda item: [int(part) for part in item.split(".")])

    def speak(self, version: str) -> None:
        """Use this version of the API from now on."""
        self._version = version
