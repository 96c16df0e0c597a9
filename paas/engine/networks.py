"""Networks that apps are put on beside the one that all of them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paas.engine.client import engine_errors
from paas.errors import PaasError

if TYPE_CHECKING:
    from docker import APIClient


class NetworkExists(PaasError):
    """network with name {name} already exists"""


class NetworkInUse(PaasError):
    """Network {name} is in use by {users}. Nothing was changed. Take the apps off it (network:set, then ps:restart), then try again"""


@dataclass(frozen=True)
class Network:
    """A network as the engine tells it; `created_at` as its text."""

    id: str
    name: str
    driver: str
    scope: str
    internal: bool
    ipv6: bool
    created_at: str
    labels: dict[str, str]


class Networks:
    """The engine's networks."""

    def __init__(self, client: APIClient) -> None:
        self.client = client

    def all(self) -> list[Network]:
        """Sorted by name."""
        with engine_errors():
            found = [_network(item) for item in self.client.networks()]
        return sorted(found, key=lambda item: (item.name, item.id))

    def find(self, name: str) -> Network | None:
        """By its whole name."""
        return next((item for item in self.all() if item.name == name), None)

    def create(self, name: str, labels: dict[str, str]) -> None:
        """A bridge on which containers reach each other. Raises NetworkExists."""
        from docker.errors import APIError

        with engine_errors():
            try:
                self.client.create_network(
                    name, driver="bridge", labels=labels, check_duplicate=True, attachable=True
                )
            except APIError as error:
                if error.status_code == 409:
                    raise NetworkExists(name=name) from None
                raise

    def remove(self, network: Network) -> None:
        """Raises NetworkInUse. Fine when it is gone."""
        from docker.errors import NotFound

        with engine_errors():
            try:
                data: dict[str, Any] = self.client.inspect_network(network.id)
                users = sorted(item["Name"] for item in (data["Containers"] or {}).values())
                if users:
                    raise NetworkInUse(name=network.name, users=", ".join(users))
                self.client.remove_network(network.id)
            except NotFound:
                return

    def connect(self, container_id: str, name: str, alias: str) -> None:
        """Put a container on a network under a name (empty: none). Fine when it is on it."""
        from docker.errors import APIError

        with engine_errors():
            try:
                self.client.connect_container_to_network(
                    container_id, name, aliases=[alias] if alias else None
                )
            except APIError as error:
                if error.status_code != 403 or "already exists" not in str(error.explanation):
                    raise


def _network(data: dict[str, Any]) -> Network:
    return Network(
        id=data["Id"],
        name=data["Name"],
        driver=data["Driver"],
        scope=data["Scope"],
        internal=bool(data.get("Internal")),
        ipv6=bool(data.get("EnableIPv6")),
        created_at=data.get("Created", ""),
        labels=data.get("Labels") or {},
    )
