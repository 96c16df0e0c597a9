"""What the client can't go on with, as the user reads it."""

from __future__ import annotations

from paas.errors import PaasError, UsageError


class NoHost(UsageError):
    """Which host? Give -H HOST before the command, set PAAS_HOST, or add a git remote: git remote add paas paas@HOST:APP. Nothing was sent"""


class BadHost(UsageError):
    """Invalid host: {host}. Give it as ssh takes it: HOST, USER@HOST or USER@HOST:PORT. Nothing was sent"""


class NoSsh(PaasError):
    """The program {program} can't be started: {reason}. Nothing was sent. Install OpenSSH's client, or say with PAAS_SSH which one to use"""


class NoEngine(PaasError):
    """Docker on this machine does not give the image: {reason}. Nothing was changed. Start it, or pipe an archive: docker image save IMAGE | paas -H HOST git:load-image --stdin APP IMAGE"""


class NoImage(PaasError):
    """There is no image {image} on this machine. Nothing was sent. Build or pull it first, or pipe an archive of it to git:load-image --stdin"""


class NoLayers(Exception):
    """The image can't be taken apart this way."""


class ConnectionLost(Exception):
    """ssh ended before all was sent."""
