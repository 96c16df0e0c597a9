"""Names that come from users, parsed into types once, at the edge, and trusted inside."""

from __future__ import annotations

import re

from paas.errors import AppNotSpecified, InvalidAppName, PaasError
from paas.errors import printable as printable

APP_NAME_LENGTH = 63
_APP = re.compile(r"[a-z0-9][a-z0-9.-]*")
_PROCESS_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._-]{0,63}")
_ENVIRONMENT = re.compile(r"[0-9a-z_.][0-9a-z._-]{0,63}")
_DIGITS = re.compile(r"[0-9]{1,18}")
_CONFIG_KEY = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_BRANCH_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")


class InvalidHostPart(InvalidAppName):
    """App name {name} can't be part of a domain. Let no part of it, between dots, begin or end with a dash, and its end be no dot"""


class InvalidBranch(PaasError):
    """Invalid branch name: {name}. Use letters, digits, dots, dashes and slashes, as git check-ref-format does"""


class InvalidKeyName(PaasError):
    """Invalid key name: '{key}'"""


class InvalidProcessType(PaasError):
    """Invalid process type: {name}. Use letters, digits, dashes and underscores, 63 at the most"""


class InvalidEnvironment(PaasError):
    """Invalid environment: {name}. Use lowercase letters, digits, dots, dashes and underscores, 64 at the most"""


class InvalidSshKeyName(PaasError):
    """Invalid key name: {name}. Use letters, digits, dots, dashes, underscores and @, 64 at the most"""


class AppName(str):
    """``^[a-z0-9][a-z0-9.-]*$``, at most 63 characters, fit for a domain, not ending like a repository (``.git``)."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> AppName:
        """Raises AppNotSpecified for an empty text, InvalidAppName for one that is no name."""
        if not text:
            raise AppNotSpecified()
        if not _APP.fullmatch(text) or len(text) > APP_NAME_LENGTH or ".." in text or text.endswith(".git"):
            raise InvalidAppName()
        if any(not part or part.startswith("-") or part.endswith("-") for part in text.split(".")):
            # Neither the router nor the engine's image names take it.
            raise InvalidHostPart(name=text)
        return cls(text)

    @classmethod
    def from_repository_path(cls, path: str) -> AppName:
        """``app``, ``app.git``, ``/app`` and ``env/app.git`` all name the app."""
        parts = path.removeprefix("/").removesuffix("/").removesuffix(".git").split("/")
        if len(parts) > 2 or not all(_APP.fullmatch(part) for part in parts):
            raise InvalidAppName()
        return cls.parse(parts[-1])


class BranchName(str):
    """A branch as git's check-ref-format allows it, without ``refs/heads/``, never starting with a dash."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> BranchName:
        name = text.removeprefix("refs/heads/")
        parts = name.split("/")
        bad = (
            not name
            or name == "@"
            or name.startswith("-")
            or name.endswith(".")
            or len(name) > 200
            or not name.isprintable()
            or _BRANCH_FORBIDDEN.search(name)
            or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
        )
        if bad:
            raise InvalidBranch(name=printable(text))
        return cls(name)

    @property
    def ref(self) -> str:
        return f"refs/heads/{self}"


class ProcessType(str):
    """``web``, ``worker``, …: letters, digits, dashes and underscores."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> ProcessType:
        if not _PROCESS_TYPE.fullmatch(text):
            raise InvalidProcessType(name=printable(text))
        return cls(text)


class EnvironmentName(str):
    """An Aptible environment's handle: ``[0-9a-z._-]``, 64 characters at most, not starting with a dash."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> EnvironmentName:
        if not _ENVIRONMENT.fullmatch(text):
            raise InvalidEnvironment(name=printable(text))
        return cls(text)


class ConfigKey(str):
    """The name of an environment variable."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> ConfigKey:
        if not _CONFIG_KEY.fullmatch(text):
            raise InvalidKeyName(key=printable(text))
        return cls(text)


class SshKeyName(str):
    """The name under which a person's or a machine's public key is known."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> SshKeyName:
        if not _KEY_NAME.fullmatch(text):
            raise InvalidSshKeyName(name=printable(text))
        return cls(text)


def whole_number(text: str, lowest: int, highest: int) -> int | None:
    """The number that a few ASCII digits write; None for anything else and outside of the bounds."""
    number = int(text) if _DIGITS.fullmatch(text) else -1
    return number if lowest <= number <= highest else None
