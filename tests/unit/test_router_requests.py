"""What HAProxy says of requests: its log lines and its counters."""

from __future__ import annotations

import pytest

from paas.router.requests import Request, read_requests, read_traffic

LINE = (
    '1795244907.421 203.0.113.9 slot3 web.1.0123456789ab 200 155 0/1/2/30/33 --NN "a.example" "GET /a?b=1 HTTP/1.1"'
)
HEAD = "# pxname,svname,scur,bin,bout,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,wretr,\n"


def test_a_line_is_a_request() -> None:
    assert Request.parse(LINE) == Request(
        at=1795244907.421,
        client="203.0.113.9",
        slot=3,
        server="web.1.0123456789ab",
        status=200,
        bytes=155,
        queued_ms=3,
        response_ms=30,
        total_ms=33,
        ending="--",
        host="a.example",
        line="GET /a?b=1 HTTP/1.1",
    )


def test_another_port_of_an_app_is_the_app_too() -> None:
    found = Request.parse(LINE.replace("slot3 ", "slot3.8080 "))
    assert found is not None and found.slot == 3


def test_a_long_line_is_cut_somewhere() -> None:
    found = Request.parse(LINE.removesuffix(' HTTP/1.1"'))
    assert found is not None and found.line == "GET /a?b=1"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "127.0.0.1:56058 [21/Nov/2026:07:02:21.668] web/2: SSL handshake failure",
        LINE.replace("slot3 ", "unknown "),
        LINE.replace("slot3 ", "relay "),
        LINE.replace("0/1/2/30/33", "0/1/2"),
    ],
)
def test_what_is_no_request_to_an_app(line: str) -> None:
    assert Request.parse(line) is None
    assert read_requests(f"{line}\n{LINE}\n") == [Request.parse(LINE)]


def test_counters_and_percentiles_by_app() -> None:
    stat = HEAD + (
        "web,FRONTEND,1,9,9,0,9,0,0,0,,\n"
        "slot1,BACKEND,2,100,2000,0,97,0,1,2,3,\n"
        "slot1.8080,BACKEND,1,1,1,0,1,0,0,0,0,\n"
        "slot2,BACKEND,0,0,0,0,0,0,0,0,0,\n"
    )
    newest = [
        Request.parse(LINE.replace("slot3 ", "slot1 ").replace("/33 ", f"/{number} ")) for number in range(1, 101)
    ]
    found = read_traffic(stat, [item for item in newest if item])
    assert (found[1].requests, found[1].errors, found[1].active, found[1].retries) == (101, 2, 3, 3)
    assert (found[1].bytes_in, found[1].bytes_out) == (101, 2001)
    assert found[1].percentiles == (50, 95, 99) and found[1].sample == 100
    assert (found[2].requests, found[2].percentiles) == (0, ())
    assert set(found) == {1, 2}
