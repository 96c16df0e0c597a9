"""Whether a port of this machine can be listened on."""

from __future__ import annotations

import socket

from paas.settings import Listen


def refusal(listen: Listen) -> str | None:
    """Why the address can't be bound now, None when it can."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen.host, listen.port))
        except OSError as error:
            return error.strerror or str(error)
    return None
