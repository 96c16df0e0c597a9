"""Image references."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.errors import PaasError
from paas.model.image import ImageNotSpecified, ImageRef, InvalidImage

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "registry", "repository", "name"),
    [
        ("nginx", "docker.io", "nginx", "nginx:latest"),
        ("nginx:1.27", "docker.io", "nginx", "nginx:1.27"),
        ("library/nginx", "docker.io", "nginx", "nginx:latest"),
        ("docker.io/library/nginx:1", "docker.io", "nginx", "nginx:1"),
        ("docker.io/org/app", "docker.io", "org/app", "org/app:latest"),
        ("org/app:v1", "docker.io", "org/app", "org/app:v1"),
        ("quay.io/org/app:42", "quay.io", "quay.io/org/app", "quay.io/org/app:42"),
        ("localhost/app", "localhost", "localhost/app", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000", "localhost:5000/app", "localhost:5000/app:latest"),
        ("127.0.0.1:5000/a/b/c:x", "127.0.0.1:5000", "127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:x"),
        ("[::1]:5000/app", "[::1]:5000", "[::1]:5000/app", "[::1]:5000/app:latest"),
        ("Registry.Example.com/app", "Registry.Example.com", "Registry.Example.com/app", "Registry.Example.com/app:latest"),
        ("a__b--c.d/e_f", "docker.io", "a__b--c.d/e_f", "a__b--c.d/e_f:latest"),
        (f"nginx@{DIGEST}", "docker.io", "nginx", f"nginx@{DIGEST}"),
        (f"quay.io/o/a:1@{DIGEST}", "quay.io", "quay.io/o/a", f"quay.io/o/a@{DIGEST}"),
        ("app:" + "x" * 128, "docker.io", "app", "app:" + "x" * 128),
        ("app:_1.2-3", "docker.io", "app", "app:_1.2-3"),
    ],
)  # fmt: skip
def test_references(text: str, registry: str, repository: str, name: str) -> None:
    ref = ImageRef.parse(text)
    assert (ref.registry, ref.repository, ref.name, str(ref)) == (registry, repository, name, text)
    assert not ref.is_id


@pytest.mark.parametrize("text", [DIGEST, DIGEST.removeprefix("sha256:")])
def test_an_image_id_has_no_repository(text: str) -> None:
    ref = ImageRef.parse(text)
    assert ref.is_id and ref.name == DIGEST and ref.digest == DIGEST


@pytest.mark.parametrize(
    "text",
    [
        "-a", "--platform=x", "a b", " a", "a ", "a\n", "a\nRUN b", "FROM a\nRUN b", "A", "Org/app", "a:", "a:-x", "a:.x",
        "a:b c", "a:" + "x" * 129, "a@sha256:123", f"a@sha512:{'0' * 64}", "a//b", "/a", "a/", "a..b", "../a", "a/../b",
        "_a", "a_", "a___b", ".a", "a.", "a:1:2", "http://a/b", "a/b:1/c", "$IMAGE", "${A}", "a;b", "a\0", "a\tb", "a#b",
        "é", "[::1", "host:port/a", "x" * 513, "a@" + DIGEST + "\n",
    ],
)  # fmt: skip
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(InvalidImage) as caught:
        ImageRef.parse(text)
    assert len(caught.value.lines) == 1


def test_an_image_has_to_be_given() -> None:
    with pytest.raises(ImageNotSpecified):
        ImageRef.parse("")


@given(st.text(alphabet="abZ09.-_/:@ \n\r\0$#\\\"'[]", max_size=20))
def test_a_reference_is_one_word_of_a_dockerfile_and_no_option(text: str) -> None:
    try:
        ref = ImageRef.parse(text)
    except PaasError:
        return
    for form in (ref.text, ref.name):
        assert form.split() == [form] and not form.startswith("-")
        assert not set(form) & set("\n\r\0$#\\\"'") and ".." not in form


def test_the_name_of_a_reference_is_a_reference() -> None:
    for text in ("nginx", "quay.io/o/a:1", f"a@{DIGEST}", DIGEST):
        name = ImageRef.parse(text).name
        assert ImageRef.parse(name).name == name
