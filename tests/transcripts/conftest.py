"""With `-n 2 --dist loadgroup` each front door has a worker of its own, which halves the time."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
OPENSSH = "[openssh-"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two groups; the one goes through the sessions from the end, so that no session is played twice at once: they have
    ports of the host."""
    mine = [item for item in items if item.path.is_relative_to(HERE)]
    others = [item for item in items if not item.path.is_relative_to(HERE)]
    second = [item for item in mine if OPENSSH in item.name]
    first = [item for item in mine if OPENSSH not in item.name]
    for group, members in (("first", first), ("second", second)):
        for item in members:
            item.add_marker(pytest.mark.xdist_group(group))
    items[:] = others + first + second[::-1]
