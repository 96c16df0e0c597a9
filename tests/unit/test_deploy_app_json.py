"""app.json: startup checks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.deploy.manifest import InvalidAppJson, parse_app_json
from paas.errors import PaasError
from paas.model.names import ProcessType
from paas.model.release import WEB, Check


def checks(*items: Any, kind: str = "web") -> bytes:
    return json.dumps({"healthchecks": {kind: list(items)}}).encode()


def test_all_kinds_of_checks() -> None:
    document = {
        "name": "app",
        "healthchecks": {
            "web": [
                {
                    "type": "startup",
                    "name": "site",
                    "path": "/health",
                    "port": 8080,
                    "content": "ok",
                    "httpHeaders": [{"name": "X-A", "value": "b"}],
                    "attempts": 2,
                    "timeout": 1.5,
                    "wait": 0,
                    "initialDelay": 1,
                    "warn": True,
                },
                {"listening": True, "port": 9000},
                {"type": "liveness", "path": "/live"},
            ],
            "worker": [{"uptime": 7}, {"command": ["sh", "-c", "test -e /ready"]}],
            "clock": [{"type": "readiness", "path": "/"}],
        },
    }
    assert parse_app_json(json.dumps(document).encode()) == {
        WEB: (
            Check(
                "site",
                path="/health",
                port=8080,
                content="ok",
                headers=(("X-A", "b"),),
                attempts=2,
                timeout=1.5,
                wait=0,
                initial_delay=1,
                warn_only=True,
            ),
            Check("listening", listening=True, port=9000),
        ),
        ProcessType("worker"): (
            Check("uptime", uptime=7),
            Check("command", command=("sh", "-c", "test -e /ready")),
        ),
    }


@pytest.mark.parametrize(
    "text", [b"{}", b'{"healthchecks": null}', b'{"healthchecks": {}}', b'\xef\xbb\xbf{"healthchecks": {"web": []}}']
)
def test_no_checks(text: bytes) -> None:
    assert parse_app_json(text) == {}


def test_comment_lines_are_left_out_and_the_lines_still_count() -> None:
    assert parse_app_json(b'{\n  // a comment "\n "name": "http://x"\n}\n') == {}
    with pytest.raises(InvalidAppJson, match="line 4, column 3"):
        parse_app_json(b"{\n// comment\n\n }}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "line 1, column 1: "),
        (b'{"a": 1,}', "line 1, column 9: "),
        (b'{\n "a": [1,\n 2\n "b"}', "line 4, column 2: "),
        (b"[]", "line 1: expected an object"),
        (b"null", "line 1: expected an object"),
        (b"\xff", "it is not UTF-8 text"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number is too long"),
        (b'{"healthchecks": []}', "healthchecks: expected an object"),
        (b'{"healthchecks": {"web": {}}}', "healthchecks.web: expected a list"),
        (b'{"healthchecks": {"a\\nb": {}}}', r"healthchecks.a\nb: expected a list"),
        (b'{"healthchecks": {"web": [7]}}', "healthchecks.web[0]: expected an object"),
        (checks({}), "healthchecks.web[0]: needs exactly one of path, command, listening and uptime"),
        (checks({"path": "/"}, {"path": "/", "uptime": 3}), "healthchecks.web[1]: needs exactly one"),
        (checks({"path": "/", "attempts": "many"}), "healthchecks.web[0]: a value has the wrong type"),
        (checks({"path": "/", "port": [1]}), "a value has the wrong type"),
        (checks({"path": "/", "port": 70000}), "port has to be 1 to 65535"),
        (checks({"path": "/", "port": -1}), "port has to be 1 to 65535"),
        (checks({"path": "/", "httpHeaders": {"a": "b"}}), "a value has the wrong type"),
        (checks({"path": "/", "httpHeaders": [{"name": "X"}]}), "a value has the wrong type"),
        (checks({"path": "/", "httpHeaders": [{"name": "X", "value": "a\nb"}]}), "httpHeaders"),
        (checks({"path": "/a b\n"}), "path has to be"),
        (checks({"path": "relative"}), "path has to be"),
        (checks({"path": 7}), "path has to be"),
        (checks({"command": "true"}), "command has to be a list of words"),
        (checks({"command": ["sh", 1]}), "command has to be a list of words"),
        (b'{"healthchecks": {"web": [{"path": "/", "attempts": 1e999}]}}', "a value has the wrong type"),
        (b'{"healthchecks": {"web": [{"path": "/", "timeout": Infinity}]}}', "timeout has to be"),
        (b'{"healthchecks": {"web": [{"path": "/", "timeout": NaN}]}}', "timeout has to be"),
        (checks({"path": "/", "wait": -1}), "wait has to be"),
        (checks({"path": "/", "timeout": 0}), "timeout has to be"),
        (checks({"uptime": 1e9}), "uptime has to be"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: bytes, message: str) -> None:
    with pytest.raises(InvalidAppJson) as caught:
        parse_app_json(text)
    assert message in str(caught.value) and len(caught.value.lines) == 1


def test_a_type_that_is_no_name_is_refused() -> None:
    with pytest.raises(PaasError, match=r"Invalid process type: a b\.c") as caught:
        parse_app_json(checks({"path": "/"}, kind="a b.c"))
    assert len(caught.value.lines) == 1


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.lists(st.text(max_size=3))


@given(
    st.dictionaries(
        st.sampled_from(
            ["path", "command", "listening", "uptime", "port", "attempts", "timeout", "wait", "initialDelay",
             "httpHeaders", "content", "name", "type", "warn"]
        ),
        VALUES,
        max_size=4,
    )
)  # fmt: skip
def test_any_check_is_read_or_refused(item: dict[str, Any]) -> None:
    try:
        parse_app_json(checks(item))
    except PaasError as error:
        assert len(error.lines) == 1
