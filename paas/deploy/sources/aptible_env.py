"""`.aptible.env`: the app's config for a Dockerfile to source while it is built.

It lies in the build context of git builds only, of those whose files mention it: a Dockerfile that copies everything
would otherwise carry an app's secrets into its image without anybody having asked for them. Never with registry
credentials, never committed.
"""

from __future__ import annotations

import re
import shlex

from paas.deploy.sources.registry import PLATFORM_KEYS

NAME = ".aptible.env"
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")


def render(config: dict[str, str]) -> bytes:
    """``KEY=value`` lines that a shell can source, whatever the values hold."""
    lines = [f"{key}={_quote(value)}\n" for key, value in sorted(config.items()) if key not in PLATFORM_KEYS]
    return "".join(lines).encode("utf-8", "surrogateescape")


def _quote(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else shlex.quote(value)
