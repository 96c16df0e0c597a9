"""How git is called, by whoever calls it: our own options, our own environment, and a bound on its memory."""

from __future__ import annotations

import os
from collections.abc import Iterable

# Said at every call, over what a repository's own files may say: no program of theirs, and no name that another file
# system takes for .git.
OPTIONS = (
    ("core.fsmonitor", ""),
    ("core.hooksPath", os.devnull),
    ("core.pager", "cat"),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("credential.helper", ""),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("pack.windowMemory", "256m"),
    ("protocol.ext.allow", "never"),
    ("submodule.recurse", "false"),
)
# Nobody's settings but these, and no other repository: who reads one names the protocols. A few bytes of a pack can
# stand for a file of any size, and git unpacks what is below its core.bigFileThreshold (512 MB) in memory.
ENVIRONMENT = {
    "GIT_ALLOC_LIMIT": "1g",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LANG": "C.UTF-8",
}
# Of one process of git, threads and all: twice the largest file of a delta, and some.
MEMORY_BYTES = 3 << 30
# Sound histories are needed; these are harmless faults that old ones carry and their owners can't mend.
HARMLESS = ("badTimezone", "missingSpaceBeforeDate", "zeroPaddedFilemode")


def git_words(more: Iterable[tuple[str, str]] = ()) -> list[str]:
    """``git`` with our options; of one that is in `more` too, that value counts."""
    return ["git", *(word for name, value in (*OPTIONS, *more) for word in ("-c", f"{name}={value}"))]


def bounded(words: list[str]) -> list[str]:
    """A command line for as much memory as one git may take."""
    return ["prlimit", f"--data={MEMORY_BYTES}", *words]
