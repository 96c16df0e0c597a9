"""The client library's client, for an engine that may have stopped answering. Imported late: it is large."""

from __future__ import annotations

from typing import Any

import docker
import requests

from paas.engine.client import settle_doubt


class Client(docker.APIClient):
    """Asks for a sign of life first where the engine was waited for in vain before. Raises EngineUnavailable."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        settle_doubt()
        return super().send(request, **options)
