"""With `-n N --dist loadgroup` each front door has a worker of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
OPENSSH = "[openssh-"


@pytest.hookimpl(tryfirst=True)
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
    # They take the longest: first, so that no worker is left alone with them at the end.
    items[:] = first + second[::-1] + others
