"""Networks: their names, and what of them apps can be set to."""

from __future__ import annotations

import ipaddress
import re

from paas.errors import PaasError
from paas.model.names import printable

BRIDGE = "bridge"
# The engine's own: on the first, containers have no names; the others are no networks.
BUILT_IN = (BRIDGE, "default", "host", "none")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_TLD = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


class InvalidNetwork(PaasError):
    """Invalid network name: {name}. Use letters, digits, dots, dashes and underscores, 64 at the most"""


class InvalidAttachment(PaasError):
    """Invalid network name specified for attach"""


class InvalidInitialNetwork(PaasError):
    """Containers on the network {name} have no address at which the router could reach them. Nothing was changed. Name a network of network:list"""


class InvalidTld(PaasError):
    """Invalid tld: {given}. Give the end of a host name, such as internal. Nothing was changed"""


class InvalidListener(PaasError):
    """Invalid listener: {given}. Give ADDRESS:PORT, for example 127.0.0.1:5000. Nothing was changed"""


def network_name(text: str) -> str:
    """Raises InvalidNetwork."""
    if not _NAME.fullmatch(text):
        raise InvalidNetwork(name=printable(text))
    return text


def attachments(text: str) -> str:
    """Names of networks with spaces between them, each once. Raises InvalidNetwork, InvalidAttachment."""
    names = list(dict.fromkeys(text.replace(",", " ").split()))
    for name in names:
        if network_name(name) in BUILT_IN:
            raise InvalidAttachment()
    return " ".join(names)


def initial_network(text: str) -> str:
    """Raises InvalidNetwork, InvalidInitialNetwork."""
    if network_name(text) in BUILT_IN and text != BRIDGE:
        raise InvalidInitialNetwork(name=text)
    return text


def tld(text: str) -> str:
    """Raises InvalidTld."""
    if not _TLD.fullmatch(text):
        raise InvalidTld(given=printable(text))
    return text


def listeners(text: str) -> list[tuple[str, int]]:
    """The addresses and ports of ``127.0.0.1:5000 [::1]:5000``. Raises InvalidListener."""
    found = []
    for word in text.split():
        host, _, port = word.rpartition(":")
        try:
            address = str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")))
        except ValueError:
            raise InvalidListener(given=printable(word)) from None
        # What follows a % could be anything, and would come into the router's configuration.
        if "%" in address or not (
            port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536
        ):
            raise InvalidListener(given=printable(word))
        found.append((address, int(port)))
    return found


def static_listeners(text: str) -> str:
    """As `listeners` reads them, written in one way. Raises InvalidListener."""
    found = dict.fromkeys(listeners(text))
    return " ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in found)
