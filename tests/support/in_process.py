"""Commands run in the test's own process, for tests without Docker."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass

import pytest

from paas import cli
from paas.commands import base
from paas.model.caller import Caller, Door


@dataclass(frozen=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


class Commands:
    """Runs `paas WORDS` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capfd = capfd

    def __call__(self, *words: str, stdin: str = "", door: Door = "host") -> Said:
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        self.capfd.readouterr()
        code = cli.main(list(words), Caller("admin", door))
        session = base._session
        if session is not None and "database" in vars(session):
            session.database.close()
        out, err = self.capfd.readouterr()
        return Said(code, out, err)
