"""Waking the agent: one word on its socket."""

from __future__ import annotations

import socket

from paas.settings import Settings

RETIRE = "retire"
CERTIFICATES = "certificates"
CLEAN = "clean"
ENDED = "die"  # followed by a container's id


def tell_agent(settings: Settings, message: str) -> bool:
    """Say that there is something to retire, that domains may lack a certificate, or that a container ended. Returns whether an agent runs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as messenger:
        try:
            messenger.sendto(message.encode(), str(settings.run_dir / "agent.sock"))
        except OSError:
            return False
    return True
