"""Port mappings: which port of the host leads to which port of an app's web containers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from paas.errors import PaasError
from paas.model.names import printable, whole_number

SCHEMES = ("http", "https", "tcp", "udp")
HTTP_PORT = 80
HTTPS_PORT = 443
HIGHEST = 65535


class InvalidPortMap(PaasError):
    """Invalid port map {text} [{reason}]"""


class PortReused(PaasError):
    """Error validating {which}port mappings: The same scheme:host-port is being reused: {key}"""


@dataclass(frozen=True, order=True)
class PortMapping:
    """``scheme:host:container``. `container` 0 stands for the port that the process was started with."""

    scheme: str
    host: int
    container: int

    @classmethod
    def parse(cls, text: str) -> PortMapping:
        """Raises InvalidPortMap."""
        parts = text.split(":")
        shown = printable(text)
        if len(parts) != 3:
            raise InvalidPortMap(text=shown, reason=f"len={len(parts)}")
        if parts[0] not in SCHEMES:
            raise InvalidPortMap(text=shown, reason=f"err=the scheme is none of {', '.join(SCHEMES)}")
        return cls(parts[0], _port(shown, "hostPort", parts[1]), _port(shown, "containerPort", parts[2]))

    @property
    def key(self) -> str:
        """What is unique among the mappings of an app."""
        return f"{self.scheme}:{self.host}"

    def __str__(self) -> str:
        return f"{self.key}:{self.container}"


def _port(shown: str, name: str, text: str) -> int:
    number = whole_number(text, 0, 10**9)
    if number is None:
        raise InvalidPortMap(text=shown, reason=f"err={name} is not a number")
    if not 0 < number <= HIGHEST:
        raise InvalidPortMap(text=shown, reason=f"{name}={number}")
    return number


def check_unique(mappings: Iterable[PortMapping], which: str = "") -> None:
    """Raises PortReused where two different mappings have the same scheme and host port."""
    seen: dict[str, PortMapping] = {}
    for mapping in mappings:
        if seen.setdefault(mapping.key, mapping) != mapping:
            raise PortReused(which=which, key=mapping.key)
