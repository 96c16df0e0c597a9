"""Which addresses are anybody's, and which of the others an administrator lets limited keys have read."""

from __future__ import annotations

import ipaddress

from paas.errors import PaasError
from paas.model.git_url import parse_host
from paas.model.names import printable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class InvalidHosts(PaasError):
    """{given} is no list of hosts. Nothing was changed. Give names, addresses or networks, with commas between: pages.internal,10.1.2.3:8080,10.2.0.0/16"""


def parse_hosts(text: str) -> str:
    """``host``, ``host:port`` and ``network/bits``, separated by commas. Raises InvalidHosts."""
    items = [item.strip() for item in text.split(",")]
    try:
        for item in items:
            if "/" in item:
                ipaddress.ip_network(item)
            else:
                parse_host(item)
    except (PaasError, ValueError):
        raise InvalidHosts(given=printable(text)) from None
    return ",".join(items).lower()


def may_be_read(allowed: str, host: str, port: int, address: str) -> bool:
    """Whether `host`, which has this `address`, is public or one of those `allowed` (as parse_hosts gives them)."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if _is_public(found):
        return True
    for item in filter(None, allowed.split(",")):
        if "/" in item:
            network = ipaddress.ip_network(item)
            if network.version == found.version and found in network:
                return True
        else:
            name, only = parse_host(item)
            if name.strip("[]") in (host.lower().strip("[]"), str(found)) and only in (None, port):
                return True
    return False


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return _is_public(inner)
        if address.teredo is not None or address in _TRANSLATED:
            return False
    return address.is_global and not address.is_multicast


# Routers turn these into IPv4 addresses, private ones too.
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
