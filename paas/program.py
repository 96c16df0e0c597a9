"""What `pip install` puts on the path as `paas`: the client of a host, or on a host the program itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# They begin an installation, so that there may be none yet.
AT_HOME = ("serve", "ssh-keys:add", "-v", "--version", "version")


def main() -> int:
    words = sys.argv[1:]
    if is_elsewhere(words, os.environ):
        from paas.client.__main__ import main as client

        return client(words)
    from paas.__main__ import main as here

    return here()


def is_elsewhere(words: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a command is another machine's: it is said which, or this one has no paas."""
    if words[:1] and words[0].startswith("-H"):
        return True
    if words[:1] and words[0] in AT_HOME:
        return False
    return bool(environment.get("PAAS_HOST")) or not (environment.get("PAAS_ROOT") or _root(environment).exists())


def _root(environment: Mapping[str, str]) -> Path:
    from paas.settings import default_root

    return default_root(dict(environment))
