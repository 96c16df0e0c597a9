"""Waking the agent: a line on its socket."""

from __future__ import annotations

import socket

from paas.settings import Settings

RETIRE = "retire"
CERTIFICATES = "certificates"
CLEAN = "clean"
ENDED = "die"  # followed by a container's id
KEEP = "keep"  # followed by the id of a container that serves, and its restart policy as JSON
REMOVE = "remove"  # followed by a container's id
MESSAGE_BYTES = 256


def tell_agent(settings: Settings, message: str) -> bool:
    """Say what there is to do, in one of the words above. Returns whether an agent runs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as messenger:
        try:
            messenger.sendto(message.encode(), str(settings.run_dir / "agent.sock"))
        except OSError:
            return False
    return True
