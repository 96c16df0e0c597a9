"""What people read, whatever somebody's words in it are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.in_process import Commands

from paas.errors import MAX_LINE, NO_SUCH_APP, AppNotFound, PaasError, UsageError, legible
from paas.model.operation import MASK, without

ODD = "\x1b[2J\x1b]0;title\x07\u202eb\x00\x9b31m\udcff"


@given(st.text() | st.just(ODD) | st.just("x" * 5000))
def test_no_line_of_a_message_moves_a_terminal_or_has_no_end(text: str) -> None:
    for error in (PaasError(text), AppNotFound(app=text), UsageError(f"{text} is no option")):
        for line in str(error).split("\n"):
            assert line.isprintable() and len(line) <= MAX_LINE + 1


def test_messages_stay_as_they_are() -> None:
    text = "App web does not exist\n  é ☃ 日本語 — two lines"
    assert legible(text) == text


def test_colours_of_a_program_are_left_out_and_tabs_are_blanks() -> None:
    assert legible("\x1b[31mError:\x1b[0m\tfailed") == "Error:  failed"


@pytest.mark.parametrize(
    "words",
    [
        ["apps:report", "web.\x1b[2J", "more"],
        ["config:get", "--global", "A", "\x1b]0;x\x07"],
        ["apps:list", "--format", "\u202ej\x9b"],
        ["nginx:\x1b[2J", "web"],
        ["network:exists", "--\x1b[1m"],
    ],
)
def test_commands_say_nothing_that_a_terminal_obeys(paas_command: Commands, words: list[str]) -> None:
    said = paas_command(*words)
    assert said.code in (1, 2, NO_SUCH_APP)
    assert said.err.replace("\n", "").isprintable() and len(said.err) < MAX_LINE


@pytest.mark.parametrize("command", ["apps:report", "ports:list", "config:show", "git-upload-pack", "apps:exists"])
def test_a_name_that_is_no_text_is_no_app(paas_command: Commands, command: str) -> None:
    assert paas_command(command, "web\udcff\ud800").code in (1, NO_SUCH_APP)


def test_a_value_that_is_no_text_is_refused_where_only_text_is_kept(paas_command: Commands) -> None:
    paas_command("apps:create", "web")
    said = paas_command("ports:set", "web", "http:80:5000")
    assert said.code == 0, said.err
    said = paas_command("git:auth-status", "127.0.0.1:1", "me", "\udcff")
    assert said.code == 1


@pytest.mark.parametrize("secret", ["", "a", "ab", "abc"])
def test_a_short_secret_is_not_masked(secret: str) -> None:
    """Its mask would be in every other word, and say which letters are missing."""
    assert without("a registry said abc", secret) == "a registry said abc"


def test_a_secret_in_another_programs_message_is_masked() -> None:
    assert without("user ci:correct was refused", "correct") == f"user ci:{MASK} was refused"
