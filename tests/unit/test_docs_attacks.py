"""The table of known attacks in docs/security.md names tests that there are, and all transcripts."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TRANSCRIPTS = ROOT / "tests/transcripts/security"
PAGE = (ROOT / "docs/security.md").read_text()
TABLE = PAGE.partition("## Known attacks")[2].partition("\n\nNot here")[0]
ROWS = [line for line in TABLE.splitlines() if line.startswith("| ")][1:]


def named(row: str) -> list[str]:
    """The tests that a row names in its last column."""
    return re.findall("`([^`]+)`", row.rstrip(" |").rpartition(" | ")[2])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split(" | ")[0].strip("| "))
def test_every_row_has_a_test_that_exists(row: str) -> None:
    assert row.count(" | ") == 3
    assert named(row)
    for name in named(row):
        path, _, function = name.partition("::")
        if "/" not in path:
            assert (TRANSCRIPTS / f"{path}.txt").exists(), name
            continue
        tree = ast.parse((ROOT / path).read_text())
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert function in functions or (not function and any(item.startswith("test_") for item in functions)), name


def test_every_transcript_opens_with_its_attack_and_is_in_the_table() -> None:
    found = {path.stem: path.read_text() for path in TRANSCRIPTS.glob("*.txt")}
    assert len(found) > 10
    for name, text in found.items():
        opening = text.partition("\n$ ")[0]
        assert text.startswith("# Attack: ") and len(opening) > 100, name
        assert any(name in named(row) for row in ROWS), name
