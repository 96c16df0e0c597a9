"""User names, and passwords that nobody can read again."""

from __future__ import annotations

import sys

from paas.errors import PaasError
from paas.model.names import printable
from paas.router.routes import USER_NAME

# 2^8 rounds, about 15 ms: HAProxy answers nobody else while it checks one, which it does once for each password.
COST = 8
MAX_PASSWORD_BYTES = 72  # bcrypt knows no more
MAX_LINE = 4096


class InvalidUser(PaasError):
    """Invalid user name: {given}. Nothing was changed. Give letters, digits and . _ @ -, at most 64"""


class InvalidPassword(PaasError):
    """{why}. Nothing was changed. Give 1 to 72 bytes without control characters"""


def user_name(given: str) -> str:
    """Raises InvalidUser."""
    if not USER_NAME.fullmatch(given):
        raise InvalidUser(given=printable(given) or "none")
    return given


def hashed(given: str) -> str:
    """The hash of a password, from standard input where none is `given`. Raises InvalidPassword."""
    import bcrypt

    if not given:
        if sys.stdin.isatty():
            import getpass

            given = getpass.getpass("Password: ", sys.stderr)
        else:
            given = sys.stdin.readline(MAX_LINE).rstrip("\r\n")
    data = given.encode("utf-8", "surrogateescape")
    if not given:
        raise InvalidPassword(why="No password was given")
    if len(data) > MAX_PASSWORD_BYTES:
        raise InvalidPassword(why="The password is too long")
    if not given.isprintable():
        raise InvalidPassword(why="The password has characters that can't be typed")
    return bcrypt.hashpw(data, bcrypt.gensalt(COST)).decode()
