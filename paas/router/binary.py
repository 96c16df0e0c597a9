"""The haproxy program: where it is, whether it will do, how it is started."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from paas.router.configuration import CONFIG_FILE, MASTER_SOCKET
from paas.router.rules import Machine
from paas.settings import Settings

OLDEST = (2, 6)
SYSTEM_DIRECTORIES = "/usr/local/sbin:/usr/sbin:/sbin"  # not on every user's PATH
TIMEOUT_SECONDS = 10  # for a version or a configuration check
IPV6_ADDRESSES = Path("/proc/net/if_inet6")
USER = "haproxy"
GET_IT = "Install it (apt-get install haproxy) and start paas again"


def find() -> str | None:
    """The program's path, None when there is none."""
    return shutil.which("haproxy", path=f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_DIRECTORIES}")


def missing() -> str | None:
    """None when HAProxy can be used, else why it can't and how to get it, one line."""
    program = find()
    if program is None:
        return f"HAProxy is not installed. {GET_IT}"
    version = _version(program, Path(program).stat().st_mtime_ns)
    if version is None or version < OLDEST:
        found = "of an unknown version" if version is None else "{}.{}".format(*version)
        return f"HAProxy {found} is too old, 2.6 or newer is needed. {GET_IT}"
    return None


def command(settings: Settings, *, notify: bool = False) -> list[str]:
    """What runs the router in the foreground; `notify` tells systemd when it is ready (Type=notify).

    TERM stops it at once. It needs the files that `HAProxy.write` makes, and the run directory.
    """
    return [
        find() or "haproxy",
        *(["-Ws"] if notify else ["-W", "-db"]),
        *("-C", str(settings.router_dir), "-f", CONFIG_FILE),
        *("-S", f"unix@../run/{MASTER_SOCKET},mode,600"),
    ]


def check(settings: Settings) -> str | None:
    """Ask HAProxy whether it would load the file: None when it would, else its complaint."""
    argv = [find() or "haproxy", "-c", "-C", str(settings.router_dir), "-f", CONFIG_FILE]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if not done.returncode:
        return None
    alerts = [line for line in done.stderr.splitlines() if line.startswith("[ALERT]")]
    return alerts[0] if alerts else f"exit code {done.returncode}"


def machine(settings: Settings) -> Machine:
    """What this machine adds to the configuration.

    Whose installation it is decides, not who asks: a command by root and the agent must write the same file.
    """
    try:
        dual_stack = bool(IPV6_ADDRESSES.read_text().strip())
    except OSError:
        dual_stack = False
    by_root = settings.root.exists() and settings.root.stat().st_uid == 0
    return Machine(dual_stack, USER if by_root and _has_user(USER) else None)


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


@lru_cache(maxsize=2)
def _version(program: str, _changed: int) -> tuple[int, int] | None:
    try:
        done = subprocess.run(
            [program, "-v"], capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"version (\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2])) if match else None
