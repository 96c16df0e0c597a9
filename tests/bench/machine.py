"""The machine of a run, so that two runs can be compared."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from pathlib import Path

import docker


def describe(checkout: Path, client: docker.DockerClient) -> dict[str, object]:
    """Everything that makes numbers differ between machines, and when it was."""
    engine = client.info()
    status = _said("git", "-C", str(checkout), "status", "--porcelain", "--", "paas", "hooks")
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "revision": (_said("git", "-C", str(checkout), "rev-parse", "HEAD") or "")[:12],
        "modified": bool(status),
        "system": _system(),
        "kernel": platform.release(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000,
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "engine": engine["ServerVersion"],
        "storage_driver": engine["Driver"],
        "docker_client": _said("docker", "version", "--format", "{{.Client.Version}}"),
        "git": (_said("git", "--version") or "").removeprefix("git version "),
        "openssh": (_said("ssh", "-V") or "").partition(",")[0],
        "haproxy": (re.findall(r"version (\S+)", _said("haproxy", "-v") or "") or [None])[0],
    }


def headline(machine: dict[str, object]) -> str:
    """The same as one line for people."""
    haproxy = f", HAProxy {machine['haproxy']}" if machine["haproxy"] else ", no HAProxy"
    return (
        f"{machine['date']}, paas {machine['revision']}{' (modified)' if machine['modified'] else ''}, {machine['cores']} cores"
        f" ({machine['processor']}), {machine['system']}, kernel {machine['kernel']}, Docker {machine['engine']}"
        f" on {machine['storage_driver']}{haproxy}, load at the start {machine['load']:.1f}"
    )


def _said(*words: str) -> str | None:
    """What a program prints, None when it is not there or fails."""
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform()


def _processor() -> str:
    names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return names[0] if names else platform.machine()
