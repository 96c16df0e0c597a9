"""--trace: what is told about requests and programs, and what is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A process of its own: an audit hook stays for the life of its process.
PROGRAM = """
import subprocess, sys
from datetime import timedelta
from types import SimpleNamespace
from paas import trace
if len(sys.argv) > 1:
    trace.begin()
trace.note("noted")
trace.answered(SimpleNamespace(
    request=SimpleNamespace(method="POST", url="http+docker://localhost/v1.41/build?buildargs=hush"),
    status_code=200, elapsed=timedelta(milliseconds=3)))
subprocess.run(["true", "--build-arg=KEY=hush", "word"])
"""


def told(*words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr


def test_a_trace_names_requests_and_programs_without_values() -> None:
    text = [line.partition(" s  ")[2] for line in told("on").splitlines()]
    assert text == [
        "noted",
        "engine: POST /v1.41/build 200 (3.0 ms)",
        "starts: true --build-arg=… word",
    ]


def test_without_a_trace_nothing_is_told() -> None:
    assert told() == ""
