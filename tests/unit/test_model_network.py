"""What apps can be set to about networks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from paas.errors import PaasError
from paas.model import network


def test_what_is_kept() -> None:
    assert network.attachments("one,two  one three") == "one two three"
    assert network.initial_network("bridge") == "bridge"
    assert network.tld("svc.internal") == "svc.internal"
    assert network.static_listeners("127.0.0.1:80 [::1]:8080 ::1:8080") == "127.0.0.1:80 [::1]:8080"
    assert network.listeners("[::1]:8080 127.0.0.1:80") == [("::1", 8080), ("127.0.0.1", 80)]


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (network.attachments, "host"),
        (network.attachments, "mine bridge"),
        (network.attachments, "none"),
        (network.attachments, "--privileged"),
        (network.initial_network, "host"),
        (network.initial_network, "none"),
        (network.initial_network, "container:abc"),
        (network.network_name, ""),
        (network.network_name, "a b"),
        (network.network_name, "a" * 65),
        (network.tld, "-x"),
        (network.tld, "a..b"),
        (network.tld, "A"),
        (network.static_listeners, "localhost:80"),
        (network.static_listeners, "127.0.0.1"),
        (network.static_listeners, "127.0.0.1:0"),
        (network.static_listeners, "127.0.0.1:65536"),
        (network.static_listeners, "127.0.0.1:8 0.0.0.0:x"),
        (network.static_listeners, "[fe80::1%eth0;#]:80"),
    ],
)
def test_what_is_refused(read: Callable[[str], str], text: str) -> None:
    with pytest.raises(PaasError):
        read(text)
