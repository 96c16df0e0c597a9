"""The machine and the programs that paas uses on it, as `report` prints them."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

from paas import __version__
from paas.console import size
from paas.deploy.session import Session
from paas.errors import PaasError
from paas.router import binary

MEMORY = Path("/proc/meminfo")
SECONDS = 10
NOT_THERE = "not installed"


def facts(session: Session) -> dict[str, str]:
    """What there is, by name."""
    machine = platform.uname()
    disk = shutil.disk_usage(session.settings.root)
    return {
        "uname": f"{machine.system} {machine.node} {machine.release} {machine.machine}",
        "memory": _memory(),
        "disk": f"{size(disk.free)} free of {size(disk.total)} at {session.settings.root}",
        "docker version": _engine(session),
        "git version": _first_line("git", "--version"),
        "haproxy version": _first_line(binary.find() or "haproxy", "-v"),
        "python version": platform.python_version(),
        "paas version": __version__,
        "paas root": str(session.settings.root),
    }


def _memory() -> str:
    lines = dict(line.split(":", 1) for line in MEMORY.read_text().splitlines() if ":" in line)
    total, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    return f"{size(free)} free of {size(total)}"


def _engine(session: Session) -> str:
    try:
        found = session.api.version()
        return f"{found['Version']} (API {found['ApiVersion']})"
    except PaasError as error:
        return str(error)


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return NOT_THERE
    return next(iter(done.stdout.splitlines()), NOT_THERE)
