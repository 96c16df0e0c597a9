"""Which Dockerfiles need no build."""

from __future__ import annotations

import pytest

from paas.deploy.build import bare_from


@pytest.mark.parametrize(
    ("text", "image"),
    [
        (b"FROM nginx:1.27\n", "nginx:1.27"),
        (b"from nginx", "nginx"),
        (b"\n# syntax=docker/dockerfile:1\n\n  FROM   quay.io/o/a:1  \r\n# end\n", "quay.io/o/a:1"),
        (b"FROM sha256:" + b"0" * 64, "sha256:" + "0" * 64),
    ],
)
def test_a_dockerfile_that_is_one_from_line(text: bytes, image: str) -> None:
    found = bare_from(text)
    assert found is not None and found.text == image


@pytest.mark.parametrize(
    "text",
    [
        b"", b"# FROM nginx\n", b"FROM\n", b"FROM scratch\n", b"FROM nginx AS base\n", b"FROM --platform=linux/arm64 nginx\n",
        b"FROM nginx\nRUN true\n", b"ARG V=1\nFROM nginx:$V\n", b"FROM nginx:$V\n", b"FROM ${IMAGE}\n", b"RUN true\n",
        b"FROM nginx \\\n\n", b"FROM a\nFROM b\n", b"FROM Bad_Name\n", b"FROM -x\n", b"\xff\xfe\n", b"FROM\xc2\xa0nginx x\n",
    ],
)  # fmt: skip
def test_any_other_dockerfile_is_built(text: bytes) -> None:
    assert bare_from(text) is None
