"""What can go wrong, as the user reads it.

An error class's docstring is its message: one line that says what happened, what stayed as it was and what to do.
`exit_code` follows the contract: 1 refused or failed, 2 usage, 20 no such app.
"""

from __future__ import annotations

import inspect
import re

REFUSED = 1
USAGE = 2
NO_SUCH_APP = 20

MAX_LINE = 1000
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def printable(text: str, limit: int = 120) -> str:
    """`text` for a message: control characters escaped, never more than `limit` characters."""
    clean = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode()
        for c in text[: limit + 1]
    )
    return clean if len(clean) <= limit else clean[:limit] + "…"


def legible(text: str) -> str:
    """A message of one or more lines, whatever somebody's words in it are: nothing that a terminal obeys, no line without end."""
    if text.isprintable() and len(text) <= MAX_LINE:
        return text
    lines = [printable(_COLOURS.sub("", line).expandtabs(), MAX_LINE) for line in text.split("\n")]
    return "\n".join(lines)


class PaasError(Exception):
    """{text}"""

    exit_code = REFUSED

    def __init__(self, *args: str, **fields: object) -> None:
        if args:
            fields["text"] = args[0]
        template = inspect.cleandoc(type(self).__doc__ or "{text}")
        super().__init__(legible(template.format(**fields)))
        self.fields = fields

    @property
    def lines(self) -> list[str]:
        """The message, a list of lines without any prefix."""
        return str(self).splitlines()


class UsageError(PaasError):
    """{text}"""

    exit_code = USAGE


class AppNotFound(PaasError):
    """App {app} does not exist"""

    exit_code = NO_SUCH_APP


class AppNotSpecified(PaasError):
    """Please specify an app to run the command on"""


class InvalidAppName(PaasError):
    """App name must begin with lowercase alphanumeric character, and may only contain lowercase alphanumerics, dots, and hyphens"""


class NameTaken(PaasError):
    """Name is already taken"""


class NotDeployed(PaasError):
    """App {app} has not been deployed"""


class EngineUnavailable(PaasError):
    """The Docker Engine at {address} does not answer ({reason}). Nothing was changed. Start it (systemctl start docker), then send the command again"""


class EngineFailed(PaasError):
    """The Docker Engine refused: {reason}"""


class NoRoom(PaasError):
    """The disk is full: {path} can't be written. What was begun was undone, the release that served before still does. Make room (disk:report shows how much there is), then send the command again"""


class Cancelled(BaseException):
    """The caller went away, pressed Ctrl-C, or the operation was cancelled.

    A BaseException, so that no handler for ordinary errors can swallow it on its way to the clean-up.
    """

    def __init__(self, reason: str = "interrupted") -> None:
        super().__init__(reason)
        self.reason = reason
