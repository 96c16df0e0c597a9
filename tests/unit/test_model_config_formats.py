"""Config as text: Dokku's formats to the byte, and no value that does not come back as it was."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paas.errors import PaasError
from paas.model.config_formats import EXPORTS, aligned, export, parse

KEYS = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,10}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
VALUES = st.dictionaries(KEYS, TEXTS, max_size=5)
PINNED = {"aKey": "true", "BKEY": "true", "zKey": "true"}
AWKWARD = {"A": "it's", "B": 'say "hi"\n$HOME `id` !x \\n\r', "C": "42", "D": "007", "E": "", "F": "é # ☃ ", "G": "-0"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("exports", "export BKEY='true'\nexport aKey='true'\nexport zKey='true'\n"),
        ("envfile", 'BKEY="true"\naKey="true"\nzKey="true"\n'),
        ("docker-args", "--env=BKEY='true' --env=aKey='true' --env=zKey='true'\n"),
        ("docker-args-keys", "--env=BKEY --env=aKey --env=zKey\n"),
        ("shell", "BKEY='true' aKey='true' zKey='true' "),
        ("pretty", "BKEY:  true\naKey:  true\nzKey:  true\n"),
        ("json", '{"BKEY":"true","aKey":"true","zKey":"true"}\n'),
        ("json-list", '[{"name":"BKEY","value":"true"},{"name":"aKey","value":"true"},{"name":"zKey","value":"true"}]\n'),
        ("pack-keys", "--env BKEY --env aKey --env zKey\n"),
    ],
)
def test_formats(name: str, text: str) -> None:
    assert export(name, PINNED) == text


def test_there_is_a_test_for_each_format() -> None:
    pinned = test_formats.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {name for name, _ in pinned} == set(EXPORTS)


def test_nothing_set() -> None:
    assert export("json-list", {}) == "null\n"
    assert export("json", {}) == "{}\n"
    assert export("exports", {}) == "\n"


def test_numbers_are_not_quoted_unless_they_would_change() -> None:
    assert export("envfile", {"A": "42", "B": "-7", "C": "007", "D": "4.5", "E": "٤"}) == (
        'A=42\nB=-7\nC="007"\nD="4.5"\nE="٤"\n'
    )


@given(VALUES)
@example(AWKWARD)
@pytest.mark.parametrize(
    ("written", "read"),
    [("envfile", "envfile"), ("exports", "envfile"), ("shell", "envfile"), ("json", "json"), ("json-list", "json")],
)
def test_what_is_exported_is_imported_to_the_byte(written: str, read: str, values: dict[str, str]) -> None:
    if written == "json-list" and not values:
        return
    assert parse(read, export(written, values)) == values


def test_a_shell_reads_the_same() -> None:
    script = export("exports", AWKWARD) + "\n".join(f'printf %s\\\\0 "${key}"' for key in AWKWARD)
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == list(AWKWARD.values())


def test_bytes_that_are_no_text_survive() -> None:
    value = b"\xff\xfe".decode("utf-8", "surrogateescape")
    for name in ("envfile", "json"):
        assert parse(name, export(name, {"A": value})) == {"A": value}


def test_envfiles_as_people_write_them() -> None:
    text = (
        "\ufeff# a comment\r\n\r\nexport PLAIN=word\r\nSPACED = some words  # why\nURL=http://x/#part\n"
        "EMPTY=\n  INDENTED=1\nDOLLAR=$HOME\nWINDOWS=C:\\temp\nYAML: value\n"
        "MULTI=\"one\ntwo\" # done\nSINGLE='$a \"b\" \\n'\nJOINED='it'\\''s'\"!\"\nLAST=end"
    )
    assert parse("envfile", text) == {
        "PLAIN": "word",
        "SPACED": "some words",
        "URL": "http://x/#part",
        "EMPTY": "",
        "INDENTED": "1",
        "DOLLAR": "$HOME",
        "WINDOWS": "C:\\temp",
        "YAML": "value",
        "MULTI": "one\ntwo",
        "SINGLE": '$a "b" \\n',
        "JOINED": "it's!",
        "LAST": "end",
    }


def test_json_as_people_write_it() -> None:
    assert parse("json", '{"A": 1, "B": true, "C": "x", "D": 1.5}') == {"A": "1", "B": "true", "C": "x", "D": "1.5"}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("envfile", "WORD", "WORD is no KEY=VALUE"),
        ("envfile", "A='x", "the value of A has an unclosed quote"),
        ("envfile", 'A="x\\"', "the value of A has an unclosed quote"),
        ("envfile", "1A=x", "Invalid key name: '1A'"),
        ("envfile", "A=x\0", "the value of A holds a NUL byte"),
        ("json", "[]x", "no JSON document"),
        ("json", "[1]", "no JSON object"),
        ("json", '{"A": null}', "no JSON object"),
        ("json", '{"A": {"B": 1}}', "no JSON object"),
        ("json", "[" * 100_000, "no JSON document"),
        ("yaml", "", "Unknown import format: yaml"),
    ],
)
def test_what_is_refused(name: str, text: str, said: str) -> None:
    with pytest.raises(PaasError) as refused:
        parse(name, text)
    assert said in str(refused.value)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for name in ("envfile", "json"):
        try:
            assert all(isinstance(value, str) for value in parse(name, text).values())
        except PaasError as error:
            assert len(str(error)) < 300


def test_unknown_export_format() -> None:
    with pytest.raises(PaasError, match=r"^Unknown export format: x\\ny$"):
        export("x\ny", {})


def test_aligned_values() -> None:
    assert aligned({"b": "1", "LONG": "2"}, indent="  ") == "  LONG:  2\n  b:     1"
