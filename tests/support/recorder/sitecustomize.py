"""Makes each Python process that finds this file on PYTHONPATH write down, in the file that PAAS_RECORD names, which
programs it starts, which files it changes or reads outside of the places named in PAAS_RECORD_SKIP, and where it connects to.

One JSON list a line: [pid, event, words]. For tests of what a command does to its machine (see support/fuzz_target.py).
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

LOG = os.environ.get("PAAS_RECORD", "")
SKIPPED = tuple(os.environ.get("PAAS_RECORD_SKIP", "").split(":"))
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Where the path and the descriptor of the directory that it is relative to are among an event's arguments.
CHANGES = {
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.link": ((0, 2), (1, 3)),
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.rmdir": ((0, 1),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
}
STARTS = {"subprocess.Popen": (0, 1), "os.exec": (0, 1), "os.posix_spawn": (0, 1), "os.system": (None, 0)}

_inside = threading.local()


def text(value: Any) -> str:
    try:
        return os.fsdecode(value)
    except TypeError:
        return repr(value)


def write(event: str, words: list[str]) -> None:
    line = json.dumps([os.getpid(), event, words]).encode() + b"\n"
    descriptor = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def place(path: Any, directory: Any = None) -> str:
    """An absolute path; empty for what is skipped and for open descriptors."""
    if isinstance(path, int) or path is None:
        return ""
    name = text(path)
    if not name.startswith("/"):
        above = f"/proc/self/fd/{directory}" if isinstance(directory, int) and directory >= 0 else "/proc/self/cwd"
        try:
            name = f"{os.readlink(above)}/{name}"  # noqa: PTH115 - without more imports
        except OSError:
            name = f"?/{name}"
    whole = os.path.normpath(name) if "\0" not in name else name
    return "" if any(whole == skipped or whole.startswith(f"{skipped}/") for skipped in SKIPPED if skipped) else whole


def record(event: str, arguments: tuple[Any, ...]) -> None:
    if event in STARTS:
        program, words = STARTS[event]
        given = arguments[words]
        found = [text(word) for word in given] if isinstance(given, list | tuple) else [text(given)]
        write("starts", [text(arguments[program]) if program is not None else "", *found])
    elif event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and (found_place := place(path)):
            write("changes" if flags & WRITING else "reads", [found_place])
    elif event in CHANGES:
        for path, directory in CHANGES[event]:
            if found_place := place(arguments[path], arguments[directory] if directory is not None else None):
                write("changes", [found_place])
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        write("connects", [str(part) for part in arguments[1][:2]])


def hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in WATCHED or getattr(_inside, "now", False):
        return
    _inside.now = True
    try:
        record(event, arguments)
    finally:
        _inside.now = False


WATCHED = frozenset({*STARTS, *CHANGES, "open", "socket.connect"})
if LOG:
    sys.addaudithook(hook)
