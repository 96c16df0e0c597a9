"""With `-n N` each front door has a worker of its own (tests/conftest.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
OPENSSH = "[openssh-"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The one door begins in the middle, so that no session is played twice at once: they have ports of the host, and
    networks. They take the longest: first, so that no worker is left alone with them at the end."""
    mine = [item for item in items if item.path.is_relative_to(HERE)]
    others = [item for item in items if not item.path.is_relative_to(HERE)]
    second = [item for item in mine if OPENSSH in item.name]
    first = [item for item in mine if OPENSSH not in item.name]
    middle = len(second) // 2
    items[:] = first + second[middle:] + second[:middle] + others
