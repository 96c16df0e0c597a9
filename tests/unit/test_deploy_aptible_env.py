""".aptible.env: a real shell reads back exactly what is configured."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.deploy.sources.aptible_env import render

READ = 'set -a && . "$1" && printf \'%s\' "$VALUE"'
TEXTS = [
    "",
    "plain",
    "two words",
    "line one\nline two\n",
    "\n",
    'it\'s "quoted"',
    "'",
    "$HOME ${HOME} $(id) `id`",
    "back\\slash \\n \\",
    "!history *? [a-z] ~ # no comment",
    "a=b;c=d && exit 3 | cat > /dev/null",
    "tab\there",
    "ünïcode ✓",
    "-----BEGIN KEY-----\nabc+/=\n-----END KEY-----\n",
    "x" * 65536,
]


def sourced(path: Path, value: str) -> str:
    path.write_bytes(render({"VALUE": value}))
    done = subprocess.run(
        ["/bin/sh", "-euc", READ, "sh", str(path)], capture_output=True, check=True, env={"HOME": "/nowhere"}
    )
    return done.stdout.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("value", TEXTS, ids=range(len(TEXTS)))
def test_a_shell_reads_back(value: str, tmp_path: Path) -> None:
    assert sourced(tmp_path / "env", value) == value


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=80))
def test_a_shell_reads_back_anything(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    assert sourced(tmp_path_factory.getbasetemp() / "env", value) == value


def test_bytes_that_are_no_text_survive(tmp_path: Path) -> None:
    assert sourced(tmp_path / "env", "\udcff\udc80") == "\udcff\udc80"


def test_what_a_user_sees_in_it() -> None:
    values = {"B": "two words", "A": "http://x/y?z", "PLAIN": "a-b_c.d/e:f@g%h+i,j=k"}
    assert render(values) == b"A='http://x/y?z'\nB='two words'\nPLAIN=a-b_c.d/e:f@g%h+i,j=k\n"
    assert render({}) == b""


def test_never_what_is_for_the_platform() -> None:
    values = {
        "APTIBLE_DOCKER_IMAGE": "x",
        "APTIBLE_PRIVATE_REGISTRY_HOST": "x",
        "APTIBLE_PRIVATE_REGISTRY_USERNAME": "x",
        "APTIBLE_PRIVATE_REGISTRY_PASSWORD": "x",
        "APTIBLE_PRIVATE_REGISTRY_EMAIL": "x",
        "APTIBLE_GIT_REF": "kept",
    }
    assert render(values) == b"APTIBLE_GIT_REF=kept\n"
