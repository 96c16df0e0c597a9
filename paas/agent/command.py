"""Commands that the agent gives: each runs in a process of its own at the dispatcher, as a user's would."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from paas.gateway import stub
from paas.settings import Settings

REPLY_BYTES = 4096


def command(settings: Settings, caller: str, *words: str) -> str | None:
    """Run `paas WORDS` to its end; None when it succeeded, else what it said, on one line."""
    encoded = [word.encode() for word in words]
    request = stub.encode("host", b"", os.fsencode(settings.root), {b"PAAS_CALLER": caller.encode()}, encoded)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    said = reply = b""
    try:
        with (
            os.fdopen(reader, "rb") as errors,
            os.fdopen(writer, "wb") as theirs,
            Path(os.devnull).open("r+b", buffering=0) as nothing,
            contextlib.closing(stub.connect(os.fsencode(settings.root))) as connection,
        ):
            stub.send(connection, request, [nothing.fileno(), nothing.fileno(), theirs.fileno()])
            theirs.close()
            said = errors.read()
            reply = connection.recv(REPLY_BYTES)
    except OSError as error:
        said = str(error).encode()
    if reply[:1] == b"\0":
        return None
    return " ".join((said + reply[1:]).decode("utf-8", "replace").split())
