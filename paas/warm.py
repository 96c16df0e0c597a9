"""What is imported before processes are forked, so that each has it at once and its pages are shared."""

from __future__ import annotations

import contextlib
import importlib
import sys
import warnings
from collections.abc import Iterator

NEEDED = (
    "docker.api.client",
    "dulwich.repo",
    "netrc",  # requests, when it is first asked
    "paas.deploy.pipeline",
    "paas.engine.attach",
    "paas.engine.containers",
    "paas.engine.library",
)
# For ssh_config's `Match exec`, and for pages that don't say how they are written: six megabytes.
UNUSED = ("invoke", "charset_normalizer")


@contextlib.contextmanager
def without(*names: str) -> Iterator[None]:
    """Inside the block, to import these modules fails, unless that has happened before."""
    hidden = {name: None for name in names if name not in sys.modules}
    sys.modules.update(hidden)  # type: ignore[arg-type]
    try:
        with warnings.catch_warnings():
            # requests tells that it can't guess.
            warnings.simplefilter("ignore")
            yield
    finally:
        for name in hidden:
            del sys.modules[name]


def import_libraries() -> None:
    """What most commands need, and nothing that only lies behind it."""
    with without(*UNUSED):
        for name in NEEDED:
            importlib.import_module(name)
