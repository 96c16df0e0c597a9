"""Which Dockerfiles may take an image that was built before: those that take nothing from where it may have changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from paas.deploy.reuse import base_ids
from paas.model.image import ImageRef


@dataclass
class Here:
    """Images of this host by name, with their ONBUILD lines."""

    found: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def resolve(self, ref: ImageRef) -> Any:
        return SimpleNamespace(id=f"id of {ref.text}", on_build=self.found[ref.text]) if ref.text in self.found else None


HERE: Any = Here({"here": (), "other:1": (), "eager": ("COPY . /app",)})


@pytest.mark.parametrize(
    ("dockerfile", "ids"),
    [
        ("FROM here\nCOPY . /\n", ["id of here"]),
        ("FROM scratch\nCOPY . /\n", []),
        ("from --platform=linux/amd64 here as One\nFROM one\nCOPY --from=One /a /b\nCOPY --from=0 /a /c\n", ["id of here"]),
        ("FROM here AS a\nFROM \\\n  other:1\nCOPY --from=a /x /y\n", ["id of here", "id of other:1"]),
        ("FROM here\nCOPY --from=other:1 /a /b\n", ["id of here", "id of other:1"]),
        ("FROM here\nRUN --mount=type=bind,from=other:1,target=/m ls /m\n", ["id of here", "id of other:1"]),
        ("FROM here\nADD local.tar.gz /\n", ["id of here"]),
    ],
)
def test_the_images_that_a_dockerfile_takes_from(dockerfile: str, ids: list[str]) -> None:
    assert base_ids(HERE, dockerfile.encode()) == ids


@pytest.mark.parametrize(
    "dockerfile",
    [
        "FROM elsewhere\n",
        "FROM here\nCOPY --from=elsewhere /a /b\n",
        "FROM here\nRUN --mount=from=elsewhere,target=/m ls\n",
        "ARG V=1\nFROM other:$V\n",
        "FROM here\nARG S\nCOPY --from=${S} /a /b\n",
        "FROM here\nADD https://example.com/a /a\n",
        "FROM here\nadd --chown=1 \\\n git@example.com:a.git /a\n",
        "FROM eager\n",
    ],
)
def test_what_may_have_changed_elsewhere_is_built(dockerfile: str) -> None:
    assert base_ids(HERE, dockerfile.encode()) is None


@pytest.mark.parametrize("piece", ["\n", " ", "\\\n", "FROM ", "FROM\t--platform=", "FROM here\n", "ADD ", "ADD a\n", "--from=here,"])
def test_a_dockerfile_of_a_megabyte_is_read_at_once(piece: str) -> None:
    assert base_ids(HERE, (piece * ((1 << 20) // len(piece))).encode()) in (None, [], ["id of here"])
