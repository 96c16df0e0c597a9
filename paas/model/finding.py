"""What `doctor` finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `check` names it in a word, `mend` is the command that puts it right, empty where
    there is nothing to do."""

    check: str
    level: Level
    text: str
    mend: str = ""


def ok(check: str, text: str) -> Finding:
    return Finding(check, "ok", text)


def warning(check: str, text: str, mend: str = "") -> Finding:
    return Finding(check, "warning", text, mend)


def problem(check: str, text: str, mend: str = "") -> Finding:
    return Finding(check, "problem", text, mend)
