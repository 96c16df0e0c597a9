"""The router without HAProxy: every web process is published on a loopback port, and the URL says which."""

from __future__ import annotations

from collections.abc import Iterator

from paas.router.haproxy import Change
from paas.router.requests import Request, Traffic
from paas.router.routes import Route, Routes


class Direct:
    """Nothing to keep in step. `missing` says what would be needed for domains, one line for the user."""

    publishes_ports = True

    def __init__(self, missing: str) -> None:
        self.missing: str | None = missing

    def apply(self, routes: Routes, version: int | None = None) -> Change:
        """Do nothing: the engine has published the ports."""
        return Change(running=False)

    def switch(self, route: Route, version: int) -> Change | None:
        """Do nothing."""
        return Change(running=False)

    def settle(self, version: int) -> None:
        """Do nothing."""

    def reload(self, routes: Routes, version: int | None = None) -> Change:
        """Do nothing."""
        return Change(running=False)

    def out_of_step(self, routes: Routes) -> int:
        """There is nothing to be in step with."""
        return 0

    def low(self, highest_slot: int) -> bool:
        """There is no stock."""
        return False

    def refusal(self, port: int) -> str | None:
        """No app gets a port of the host."""
        return None

    def drained(self, slot: int, server_name: str) -> bool:
        """Nobody can tell; callers wait no longer than they have to."""
        return True

    def remove(self, slot: int, server_name: str) -> None:
        """Do nothing."""

    def requests(self, slot: int) -> list[Request]:
        """Nobody counts them."""
        return []

    def follow_requests(self, slot: int) -> Iterator[Request]:
        """There are none."""
        return iter(())

    def starts(self) -> Iterator[None]:
        """Never."""
        return iter(())

    def traffic(self, slot: int | None = None) -> dict[int, Traffic]:
        """Nobody counts it."""
        return {}

    def url(self, domain: str, published_port: int | None = None) -> str:
        """The loopback URL of the port; without one there is nothing to show but the domain."""
        return f"http://127.0.0.1:{published_port}" if published_port else f"http://{domain}"
