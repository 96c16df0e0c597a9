"""Commands that the agent gives: each runs in a process of its own at the dispatcher, as a user's would."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from paas.gateway import handover
from paas.gateway.dispatcher import ALONE
from paas.settings import Settings

REPLY_BYTES = 4096


def command(settings: Settings, caller: str, *words: str) -> str | None:
    """Run `paas WORDS` to its end; None when it succeeded, else what it said, on one line. It goes on without us."""
    encoded = [word.encode() for word in words]
    environment = {b"PAAS_CALLER": caller.encode(), ALONE.encode(): b"1"}
    request = handover.encode("host", b"", os.fsencode(settings.root), environment, encoded)
    said = reply = b""
    try:
        with (
            # No pipe: nobody may be there to read it when the command writes.
            os.fdopen(os.memfd_create("said"), "r+b", buffering=0) as errors,
            Path(os.devnull).open("r+b", buffering=0) as nothing,
            contextlib.closing(handover.connect(os.fsencode(settings.root))) as connection,
        ):
            handover.send(connection, request, [nothing.fileno(), nothing.fileno(), errors.fileno()])
            reply = connection.recv(REPLY_BYTES)
            errors.seek(0)
            said = errors.read()
    except OSError as error:
        said = str(error).encode()
    if reply[:1] == b"\0":
        return None
    return " ".join((said + reply[1:]).decode("utf-8", "replace").split())
