"""What happens to containers, told by the engine as it happens."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from paas.engine.client import engine_errors

if TYPE_CHECKING:
    from docker import APIClient

# So long one request listens: an engine that went away without a word is noticed then at the latest.
WINDOW_SECONDS = 600


def events(client: APIClient, filters: Mapping[str, Any]) -> Iterator[dict[str, Any] | None]:
    """None once the engine listens for us, then every event that fits, until it goes away. Raises EngineUnavailable."""
    from docker.utils import convert_filters

    library: Any = client
    window: dict[str, Any] = {"filters": convert_filters(dict(filters))}
    while True:
        until = int(time.time()) + WINDOW_SECONDS
        with engine_errors():
            answer = library._get(library._url("/events"), params={**window, "until": until}, stream=True)
            library._raise_for_status(answer)
            connection = library._get_raw_response_socket(answer)
            getattr(connection, "_sock", connection).settimeout(WINDOW_SECONDS + client.timeout)
            if "since" not in window:
                yield None
            yield from library._stream_helper(answer, decode=True)
        if time.time() < until:
            return
        window["since"] = until
