"""Commands run in the test's own process, for tests without Docker."""

from __future__ import annotations

import dataclasses
import io
import sys
from dataclasses import dataclass

import pytest

from paas import cli
from paas.commands import base
from paas.engine.images import Image
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
        text = io.TextIOWrapper(io.BytesIO(stdin.encode("utf-8", "surrogateescape")), "utf-8", "surrogateescape")
        self.monkeypatch.setattr(sys, "stdin", text)
        self.capfd.readouterr()
        code = cli.main(list(words), Caller("admin", door))
        session = base._session
        if session is not None and "database" in vars(session):
            session.database.close()
        out, err = self.capfd.readouterr()
        return Said(code, out, err)


def engine_image(**changes: object) -> Image:
    """An image as the engine would describe it, everything empty but its id and command."""
    empty = {"str": "", "int": 0, "bool": False}
    values: dict[str, object] = {
        item.name: empty.get(str(item.type), ()) for item in dataclasses.fields(Image)
    }
    values |= {"id": "sha256:" + "a" * 64, "command": ("serve",), "working_dir": "/app"}
    return Image(**(values | changes))  # type: ignore[arg-type]
