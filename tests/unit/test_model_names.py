"""Names that come from users."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.errors import AppNotSpecified, InvalidAppName, PaasError
from paas.model.image import ImageRef
from paas.model.names import (
    AppName,
    BranchName,
    ConfigKey,
    InvalidBranch,
    InvalidKeyName,
    InvalidProcessType,
    InvalidSshKeyName,
    ProcessType,
    SshKeyName,
    printable,
)
from paas.router.routes import DOMAIN

# Letters that names are made of, and all that has ever broken out of one.
TRICKY = st.text(alphabet="abz019.-_/A@:~ \n\r\0\x1b{}$;'\"\\^?*[é", max_size=12)


def parsed(kind: Any, text: str) -> str | None:
    try:
        return kind.parse(text)
    except PaasError:
        return None


@pytest.mark.parametrize("text", ["a", "0", "web1", "my-app", "my.app.example", "a--b", "x" * 63])
def test_app_names(text: str) -> None:
    assert AppName.parse(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "-a", ".a", "A", "Bad_Name", "a_b", "a b", "a\n", "a\nb", "a/b", "a..b", "../a", "x" * 64,
        "a.git", "é", "a;b", "$(a)", "a\0", "a-", "a.", "a.-b", "a-.b",
    ],
)  # fmt: skip
def test_what_is_no_app_name(text: str) -> None:
    with pytest.raises(InvalidAppName):
        AppName.parse(text)


def test_an_app_name_has_to_be_given() -> None:
    with pytest.raises(AppNotSpecified):
        AppName.parse("")


@given(TRICKY | st.text(alphabet="ab0.-", max_size=8))
def test_an_app_name_is_safe_wherever_it_is_used(text: str) -> None:
    name = parsed(AppName, text)
    if name is not None:
        assert not name.startswith("-")
        assert not set(name) & set("\n\r\0/ _:") and ".." not in name
        assert DOMAIN.fullmatch(f"{name}.localhost"), "the router takes its domain"
        assert ImageRef.parse(f"paas-0/{name}:1").path == f"paas-0/{name}", "the engine takes its image's name"


@pytest.mark.parametrize("path", ["app", "/app", "app.git", "/app.git", "env/app.git", "/env/app", "app/", "/app.git/"])
def test_repository_paths_that_name_an_app(path: str) -> None:
    assert AppName.from_repository_path(path) == "app"


@pytest.mark.parametrize(
    "path", ["a/b/app", "../app", "env/../app", "//app", "~/app", "", "/", ".git", "-app", "env/-app", "app\n", "a.git.git"]
)
def test_repository_paths_that_name_none(path: str) -> None:
    with pytest.raises(InvalidAppName):
        AppName.from_repository_path(path)


@given(TRICKY)
def test_a_repository_path_gives_an_app_name_or_an_error(path: str) -> None:
    try:
        name = AppName.from_repository_path(path)
    except PaasError:
        return
    assert AppName.parse(name) == name


@pytest.mark.parametrize("text", ["main", "master", "feature/x", "v1.0", "a-b_c", "ünïcode", "a@b", "x" * 200])
def test_branch_names(text: str) -> None:
    assert BranchName.parse(text) == text
    assert BranchName.parse(f"refs/heads/{text}").ref == f"refs/heads/{text}"


@pytest.mark.parametrize(
    "text",
    [
        "", "-a", "@", "a b", "a..b", "../a", "a/../b", ".a", "a/.b", "a.", "a.lock", "a.lock/b", "a//b", "/a", "a/",
        "a\nb", "a\tb", "a\x7f", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "a@{1}", "x" * 201, "refs/heads/-a",
    ],
)  # fmt: skip
def test_what_is_no_branch_name(text: str) -> None:
    with pytest.raises(InvalidBranch):
        BranchName.parse(text)


@given(TRICKY)
def test_a_branch_name_is_never_an_option_or_a_way_out(text: str) -> None:
    name = parsed(BranchName, text)
    if name is not None:
        assert not name.startswith("-")
        assert not set(name) & set("\n\r\0 ~^:?*[\\") and ".." not in name


@pytest.mark.parametrize("text", ["main", "feature/x", "a.b", "ünïcode", "a@b", "a{b", "refs", "HEAD-1"])
def test_git_takes_what_we_take_for_a_branch(text: str) -> None:
    subprocess.run(["git", "check-ref-format", BranchName.parse(text).ref], check=True)


@pytest.mark.parametrize("text", ["web", "worker", "web-2", "a_b", "W", "x" * 63])
def test_process_types(text: str) -> None:
    assert ProcessType.parse(text) == text


@pytest.mark.parametrize("text", ["", "-web", "_web", "web.1", "we b", "web\n", "x" * 64, "a=b"])
def test_what_is_no_process_type(text: str) -> None:
    with pytest.raises(InvalidProcessType):
        ProcessType.parse(text)


@pytest.mark.parametrize("text", ["A", "_a", "DATABASE_URL", "a1"])
def test_config_keys(text: str) -> None:
    assert ConfigKey.parse(text) == text


@pytest.mark.parametrize("text", ["", "1A", "A-B", "A B", "A\n", "A.B", "É"])
def test_what_is_no_config_key(text: str) -> None:
    with pytest.raises(InvalidKeyName):
        ConfigKey.parse(text)


@pytest.mark.parametrize("text", ["admin", "me@laptop", "ci.bot-1", "x" * 64])
def test_ssh_key_names(text: str) -> None:
    assert SshKeyName.parse(text) == text


@pytest.mark.parametrize("text", ["", "-o", "a b", "a\n", "a\ncommand=", 'a"', "a'", "x" * 65])
def test_what_is_no_ssh_key_name(text: str) -> None:
    with pytest.raises(InvalidSshKeyName):
        SshKeyName.parse(text)


@given(st.text(max_size=300))
def test_printable_text_is_one_short_line(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable() and len(shown) <= 121


def test_printable_text_shows_what_was_meant() -> None:
    assert printable("a\nb\x1b[31m\0") == r"a\nb\x1b[31m\x00"
    assert printable("a\udc80b") == r"a\udc80b"
    assert printable("x" * 121) == "x" * 120 + "…"


def test_errors_about_names_are_one_line() -> None:
    with pytest.raises(InvalidBranch) as caught:
        BranchName.parse("a\nb")
    assert caught.value.lines == [
        r"Invalid branch name: a\nb. Use letters, digits, dots, dashes and slashes, as git check-ref-format does"
    ]
