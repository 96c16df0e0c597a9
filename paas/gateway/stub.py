#!/usr/bin/python3 -IS
"""The program behind `paas`, the forced command of sshd and the git hooks: all that it does is in handover.py.

That is a file of its own because Python keeps what it compiled of a module, and not of a program: to compile it with
every command would take longer than the rest of it. Like that one this needs nothing but built-in modules.
"""

import posix
import sys

descriptor = posix.open(__file__, posix.O_PATH | posix.O_CLOEXEC)
folder = posix.readlink(f"/proc/self/fd/{descriptor}").rpartition("/")[0]
posix.close(descriptor)
sys.path.insert(0, folder)
import handover  # type: ignore[import-not-found] # noqa: E402

sys.path.remove(folder)
sys.exit(handover.main(handover.arguments(), dict(posix.environ)))
