"""`paas serve`, whose processes can be told to die at a named step: `python kill_server.py FILE …`.

FILE, where it is there, holds ``WHEN STEP VICTIMS``: WHEN is enter, leave or during; STEP a step's name, with what it is about
behind a slash; VICTIMS who gets SIGKILL: itself (the process that does the step), above (the command that started its
push) or all of the change's processes. Whoever comes there first takes the file away.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

from paas import steps
from paas.__main__ import run
from paas.agent import main as agent

DURING_SECONDS = 0.3
# The one step that is the agent's; it does others too, while it keeps the router in step.
RETIRE = "retire"
FILE = Path(sys.argv[1])


def come(when: str, at: steps.step) -> bool:
    """Whether this is where to die."""
    try:
        wanted, name, _ = FILE.read_text().split()
    except (OSError, ValueError):
        return False
    return (wanted, name) in ((when, at.name), (when, f"{at.name}/{at.about}")) and (at.name == RETIRE) == AGENT


def taken() -> str:
    """Who is to die, if nobody else saw to it."""
    mine = FILE.with_name(f"{FILE.name}.{os.getpid()}")
    try:
        FILE.rename(mine)
    except OSError:
        return ""
    victims = mine.read_text().split()[2]
    mine.rename(FILE.with_name("killed"))
    return victims


def kill() -> None:
    victims = taken()
    if not victims:
        return
    family = relatives()
    if victims == "above":
        family.discard(os.getpid())
        family = {pid for pid in family if b"git" not in Path(f"/proc/{pid}/cmdline").read_bytes()}
    elif victims == "itself":
        family = {os.getpid()}
    for pid in sorted(family - {os.getpid()}):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if os.getpid() in family:
        os.kill(os.getpid(), signal.SIGKILL)


def relatives() -> set[int]:
    """The processes that hold an app's lock or its repository open."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                opened = {str(link.readlink()) for link in (entry / "fd").iterdir()}
                if any(f"{ROOT}/locks/app-" in path or f"{ROOT}/repositories/" in path for path in opened):
                    found.add(int(entry.name))
    return found | {os.getpid()}


def enter(self: steps.step) -> steps.step:
    if come("enter", self):
        kill()
    if come("during", self):
        threading.Thread(target=lambda: (time.sleep(DURING_SECONDS), kill()), daemon=True).start()
    return ENTER(self)


def leave(
    self: steps.step, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> None:
    LEAVE(self, kind, error, trace)
    if kind is None and come("leave", self):
        kill()


def be_the_agent(*words: object) -> None:
    global AGENT
    AGENT = True
    RUN_AGENT(*words)  # type: ignore[arg-type]


AGENT, RUN_AGENT = False, agent.run
agent.run = be_the_agent
ROOT = os.environ["PAAS_ROOT"]
ENTER, LEAVE = steps.step.__enter__, steps.step.__exit__
steps.step.__enter__ = enter  # type: ignore[method-assign]
steps.step.__exit__ = leave  # type: ignore[method-assign]
sys.exit(run(["paas", "serve"]))
