"""The network that all apps share, on which they can't reach each other, and the addresses that are given out there.

The engine gives a container another address whenever it starts, perhaps one that was another app's a moment ago. So
the upper half of the network's addresses is not the engine's to give: paas chooses there, and a container keeps its
address for life, whoever restarts it and in whatever order.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paas.engine.client import engine_errors

if TYPE_CHECKING:
    from docker import APIClient

OPTIONS = {"com.docker.network.bridge.enable_icc": "false"}
# Somebody else may take the addresses between the look at what the engine would choose and the choice.
TRIES = 5


@dataclass(frozen=True)
class FixedAddresses:
    """The addresses of a network that the engine does not give out by itself: `first`, and how many from there on."""

    first: str
    count: int

    def at(self, number: int) -> str:
        """The `number`th of them, from 0; after the last one comes the first again."""
        return str(ipaddress.ip_address(self.first) + number % self.count)


def ensure(client: APIClient, name: str, labels: dict[str, str]) -> FixedAddresses | None:
    """Make the network where it is missing. Returns what can be chosen from; None on a network that allows no choice."""
    from docker.errors import APIError, NotFound

    with engine_errors():
        for _ in range(TRIES):
            try:
                return _fixed(client.inspect_network(name))
            except NotFound:
                try:
                    _create(client, name, labels)
                except APIError as error:
                    if error.status_code not in (403, 404, 409):
                        raise
        return _fixed(client.inspect_network(name))


def _create(client: APIClient, name: str, labels: dict[str, str]) -> None:
    """The engine knows which addresses are free, but takes no wish for part of them in the same call."""
    draft = f"{name}-draft"
    client.create_network(draft, driver="bridge", labels=labels)
    try:
        chosen = _configuration(client.inspect_network(draft))
    finally:
        client.remove_network(draft)
    subnet = ipaddress.ip_network(chosen["Subnet"])
    pool: dict[str, Any] = {"Subnet": str(subnet), "IPRange": str(next(subnet.subnets()))}
    if chosen.get("Gateway"):
        pool["Gateway"] = chosen["Gateway"]
    ipam: Any = {"Driver": "default", "Config": [pool]}
    client.create_network(
        name, driver="bridge", options=OPTIONS, labels=labels, check_duplicate=True, ipam=ipam
    )


def _fixed(network: dict[str, Any]) -> FixedAddresses | None:
    found = _configuration(network)
    if not found.get("IPRange") or not found.get("Subnet"):
        return None
    subnet = ipaddress.ip_network(found["Subnet"])
    lower, upper = subnet.subnets()
    if str(lower) != found["IPRange"] or upper.num_addresses < 2:
        return None
    return FixedAddresses(str(upper[0]), upper.num_addresses - 1)  # all but the last, the broadcast address


def _configuration(network: dict[str, Any]) -> dict[str, str]:
    """The network's IPv4 pool."""
    pools = (network.get("IPAM") or {}).get("Config") or ()
    return next((pool for pool in pools if ":" not in pool.get("Subnet", ":")), {})
