"""app.json: checks, variables, tasks, counts."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.console import Console
from paas.deploy.files.app_json import AppJson, parse_app_json
from paas.deploy.files.app_json_checks import InvalidAppJson
from paas.errors import PaasError
from paas.model.names import ProcessType
from paas.model.release import WEB, Check, Variable


def read(text: bytes | str | dict[str, Any], warnings: list[str] | None = None) -> AppJson:
    """What is read from a text or a document; the warnings go into a list."""
    data = text if isinstance(text, bytes) else (text if isinstance(text, str) else json.dumps(text)).encode()
    err = io.StringIO()
    found = parse_app_json(data, Console(io.StringIO(), err), "shop")
    if warnings is not None:
        warnings += [line.removeprefix(" !     ") for line in err.getvalue().splitlines()]
    return found


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
            "clock": [{"type": "readiness", "path": "/", "scheme": "HTTPS"}],
        },
    }
    assert read(document).checks == {
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
            Check("path", path="/live", kind="liveness"),
        ),
        ProcessType("worker"): (
            Check("uptime", uptime=7),
            Check("command", command=("sh", "-c", "test -e /ready")),
        ),
        ProcessType("clock"): (Check("path", path="/", kind="readiness", scheme="https"),),
    }


@pytest.mark.parametrize(
    "text", [b"{}", b'{"healthchecks": null}', b'{"healthchecks": {}}', b'\xef\xbb\xbf{"healthchecks": {"web": []}}']
)
def test_no_checks(text: bytes) -> None:
    assert read(text) == AppJson()


def test_comments_are_left_out_and_lines_and_columns_still_count() -> None:
    text = """{
      // a comment "
      "scripts": /* what
      runs */ {"postdeploy": "curl http://x/*y*/ \\"//z"}  // once
    }
    """
    assert read(text).first_postdeploy == 'curl http://x/*y*/ "//z'
    with pytest.raises(InvalidAppJson, match="line 4, column 4"):
        read(b"{\n// a\n/* b\n*/}}")
    with pytest.raises(InvalidAppJson, match="line 1, column 18: "):
        read(b"{ /* not closed }")


@pytest.mark.parametrize("text", [b"/* " * 100_000, b'\\"' * 100_000, b'"' * 100_001, b"/" * 100_000])
def test_no_text_takes_long_to_read(text: bytes) -> None:
    started = time.monotonic()
    with pytest.raises(InvalidAppJson):
        read(b'{"a": ' + text)
    assert time.monotonic() - started < 2


def test_all_but_checks() -> None:
    document = {
        "$schema": "x",
        "name": "shop",
        "env": {
            "PLAIN": "text",
            "EMPTY": "",
            "WANTED": {"description": "what for"},
            "SECRET": {"generator": "secret"},
            "LATER": {"required": False},
            "SAME": {"value": "v", "sync": True},
        },
        "scripts": {"postdeploy": " once ", "dokku": {"predeploy": "first", "postdeploy": "last"}},
        "formation": {"web": {"quantity": 2, "max_parallel": 1}, "worker": {"quantity": 0}, "clock": {}},
        "cron": [{"command": "node job.js", "schedule": "@daily"}],
    }
    warnings: list[str] = []
    found = read(document, warnings)
    assert found.env == (
        Variable("PLAIN", "text", required=False),
        Variable("EMPTY", None, required=False),
        Variable("WANTED"),
        Variable("SECRET", generate=True),
        Variable("LATER", required=False),
        Variable("SAME", "v", sync=True),
    )
    assert (found.predeploy, found.first_postdeploy, found.postdeploy) == ("first", "once", "last")
    assert found.formation == {"web": 2, "worker": 0} and found.max_parallel == {"web": 1}
    assert [(item.command, item.schedule) for item in found.cron] == [("node job.js", "@daily")]
    assert warnings == []


def test_what_has_no_effect_is_warned_about() -> None:
    document = {
        "healthcheck": {},
        "buildpacks": [{"url": "x"}],
        "scripts": {"predeploy": "x", "dokku": {"release": "y"}},
        "env": {"A": {"generate": "secret", "value": "hidden-value"}},
        "formation": {"web": {"quantity": 1, "autoscaling": {}, "size": "big"}},
        "healthchecks": {"web": [{"path": "/", "onFailure": {}, "attempt": 1}]},
        "a\u001b[31m": 1,
    }
    warnings: list[str] = []
    read(document, warnings)
    unknown = [line.split("the key ")[1].split(" is")[0] for line in warnings if " unknown " in line]
    assert sorted(unknown) == [
        "a\\x1b[31m",
        "env.A.generate",
        "formation.web.autoscaling",
        "formation.web.size",
        "healthcheck",
        "healthchecks.web[0].attempt",
        "healthchecks.web[0].onFailure",
        "scripts.dokku.release",
        "scripts.predeploy",
    ]
    assert "app.json: buildpacks are not supported and ignored; the Dockerfile is what is built" in warnings
    assert "hidden-value" not in "".join(warnings)


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
        (checks({"path": "/", "type": "shutdown"}), "type has to be startup, readiness or liveness"),
        (checks({"path": "/", "type": ["startup"]}), "type has to be startup, readiness or liveness"),
        (checks({"path": "/", "type": "liveness", "port": -1}), "port has to be 1 to 65535"),
        (checks({"path": "/", "scheme": "ftp"}), "scheme has to be http or https"),
        (b'{"env": []}', "env: expected an object"),
        (b'{"env": {"A": 7}}', "env.A: expected an object"),
        (b'{"env": {"A": {"value": 7}}}', "env.A: value has to be a text"),
        (b'{"env": {"A": {"required": "no"}}}', "env.A: required has to be true or false"),
        (b'{"env": {"A": {"sync": 1}}}', "env.A: sync has to be true or false"),
        (b'{"env": {"A": {"generator": "uuid"}}}', 'env.A: the only generator is "secret"'),
        (b'{"env": {"A": {"generator": ["secret"]}}}', 'env.A: the only generator is "secret"'),
        (b'{"scripts": "x"}', "scripts: expected an object"),
        (b'{"scripts": {"dokku": []}}', "scripts.dokku: expected an object"),
        (b'{"scripts": {"postdeploy": ["x"]}}', "scripts.postdeploy: expected a command"),
        (b'{"scripts": {"dokku": {"predeploy": {}}}}', "scripts.dokku.predeploy: expected a command"),
        (b'{"scripts": {"postdeploy": "a\\u0000b"}}', "scripts.postdeploy: expected a command"),
        (b'{"formation": {"web": 2}}', "formation.web: expected an object"),
        (b'{"formation": {"web": {"quantity": -1}}}', "quantity has to be a whole number from 0 to 1000"),
        (b'{"formation": {"web": {"quantity": "2"}}}', "quantity has to be a whole number"),
        (b'{"formation": {"web": {"quantity": true}}}', "quantity has to be a whole number"),
        (b'{"formation": {"web": {"quantity": 1.5}}}', "quantity has to be a whole number"),
        (b'{"formation": {"web": {"max_parallel": 0}}}', "max_parallel has to be a whole number from 1"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: bytes, message: str) -> None:
    with pytest.raises(InvalidAppJson) as caught:
        read(text)
    assert message in str(caught.value) and len(caught.value.lines) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"env": {"A-B": "x"}}', "Invalid key name: 'A-B'"),
        (b'{"formation": {"a b": {}}}', "Invalid process type: a b"),
        (b'{"cron": [{"schedule": "@daily"}]}', "Missing cron task command for app shop (index 0)"),
    ],
)
def test_a_name_or_task_that_is_none_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(PaasError) as caught:
        read(text)
    assert message in str(caught.value) and len(caught.value.lines) == 1


def test_a_type_that_is_no_name_is_refused() -> None:
    with pytest.raises(PaasError, match=r"Invalid process type: a b\.c") as caught:
        read(checks({"path": "/"}, kind="a b.c"))
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
        read(checks(item))
    except PaasError as error:
        assert len(error.lines) == 1


@given(st.recursive(VALUES, lambda inner: st.dictionaries(st.sampled_from(
    ["env", "scripts", "dokku", "predeploy", "formation", "web", "quantity", "healthchecks", "cron", "value", "A"]
), inner, max_size=4)))  # fmt: skip
def test_any_document_is_read_or_refused(document: Any) -> None:
    try:
        read(json.dumps(document))
    except PaasError as error:
        assert len(error.lines) == 1
