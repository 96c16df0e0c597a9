"""Port mappings as people type them."""

import pytest

from paas.model.port import InvalidPortMap, PortMapping, PortReused, check_unique


def test_a_mapping() -> None:
    mapping = PortMapping.parse("http:80:5000")
    assert mapping == PortMapping("http", 80, 5000)
    assert str(mapping) == "http:80:5000" and mapping.key == "http:80"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("80", "len=1"),
        ("http:80", "len=2"),
        ("http:80:5000:1", "len=4"),
        ("", "len=1"),
        ("grpc:80:5000", "err=the scheme is none of http, https, tcp, udp"),
        ("HTTP:80:5000", "err=the scheme is none of http, https, tcp, udp"),
        ("http:x:5000", "err=hostPort is not a number"),
        ("http:80:", "err=containerPort is not a number"),
        ("http:0:5000", "hostPort=0"),
        ("http:65536:5000", "hostPort=65536"),
        ("http:80:70000", "containerPort=70000"),
        ("http:-1:5000", "err=hostPort is not a number"),
        ("http:٣:5000", "err=hostPort is not a number"),
    ],
)
def test_what_is_none(text: str, reason: str) -> None:
    with pytest.raises(InvalidPortMap) as raised:
        PortMapping.parse(text)
    assert str(raised.value) == f"Invalid port map {text} [{reason}]"


def test_a_host_port_is_used_once() -> None:
    one, same, other = (PortMapping.parse(text) for text in ("http:80:1", "http:80:1", "http:80:2"))
    check_unique([one, same, PortMapping.parse("tcp:80:1")])
    message = "^Error validating new port mappings: The same scheme:host-port is being reused: http:80$"
    with pytest.raises(PortReused, match=message):
        check_unique([one, other], "new ")
