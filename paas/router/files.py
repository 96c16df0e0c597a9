"""The router's files: written whole or not at all, and only when they differ."""

from __future__ import annotations

import os
from pathlib import Path


def replace(path: Path, text: str) -> bool:
    """Make `path` hold `text`, readable by all; True when it did not before. Raises OSError."""
    data = text.encode()
    try:
        if path.read_bytes() == data:
            return False
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return True
