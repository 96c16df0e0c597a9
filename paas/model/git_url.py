"""URLs of git remotes: which ones may be read, and what of them may be shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from paas.errors import PaasError
from paas.model.names import printable

SCHEMES = ("https", "http", "ssh", "git")
MAX_LENGTH = 2000
LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|\[::1\]")
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])"
_USER = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_URL = re.compile(rf"({'|'.join(SCHEMES)})://(?:([^/\s]*)@)?({_HOST})(?::(\d{{1,5}}))?(/\S*)")
_SCP = re.compile(rf"(?:({_USER})@)?({_HOST}):(?![:/-]|//)(\S+)|(?:({_USER})@)?({_HOST}):(/(?!/)\S*)")
_HOST_AND_PORT = re.compile(rf"({_HOST})(?::(\d{{1,5}}))?")


class InvalidRemote(PaasError):
    """{given} is no remote that can be read. Nothing was changed. Give an https://, ssh:// or git:// URL, or user@host:path"""


class InvalidHost(PaasError):
    """{given} is no host. Nothing was changed. Give a name or an address, with :PORT where it is not the usual one"""


@dataclass(frozen=True)
class RemoteUrl:
    """Where a repository is. `user` and `password` of http and https are kept apart from what git gets as argument;
    `scp` is the short form of ssh, ``user@host:path``. `repr` tells neither."""

    scheme: str
    host: str
    port: int | None
    path: str
    user: str = ""
    password: str = ""
    scp: bool = False

    def __repr__(self) -> str:
        return f"RemoteUrl({self.text!r})"

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, given: str) -> RemoteUrl:
        """Raises InvalidRemote for whatever could make git run a program or read this machine's files."""
        if len(given) <= MAX_LENGTH and given.isprintable():
            if match := _URL.fullmatch(given):
                return cls._of_url(given, match)
            if match := _SCP.fullmatch(given):
                user, host, path = match[1] or match[4] or "", match[2] or match[5], match[3] or match[6]
                return cls("ssh", host.lower(), None, path, user, scp=True)
        raise InvalidRemote(given=shown(given))

    @classmethod
    def _of_url(cls, given: str, match: re.Match[str]) -> RemoteUrl:
        scheme, account, host, port, path = match.groups()
        user, _, password = (account or "").partition(":")
        if scheme == "ssh" and (password or (user and not re.fullmatch(_USER, user))):
            raise InvalidRemote(given=shown(given))
        if (scheme == "git" and user) or (port and not 0 < int(port) < 65536):
            raise InvalidRemote(given=shown(given))
        user, password = unquote(user), unquote(password)
        if not user.isprintable() or not password.isprintable():
            raise InvalidRemote(given=shown(given))
        return cls(scheme, host.lower(), int(port) if port else None, path, user, password)

    @property
    def site(self) -> str:
        """``host`` or ``host:port``."""
        return f"{self.host}:{self.port}" if self.port else self.host

    @property
    def text(self) -> str:
        """What git gets: without a name or password that only the server may see."""
        at = f"{self.user}@" if self.user and self.scheme == "ssh" else ""
        return f"{at}{self.host}:{self.path}" if self.scp else f"{self.scheme}://{at}{self.site}{self.path}"

    @property
    def shown(self) -> str:
        """What people get to see: without a query either, which may hold a token."""
        return printable(re.sub(r"\?.*", "?...", self.text), 200)

    def joined(self, relative: str) -> RemoteUrl:
        """The remote that ``../other.git`` or ``./part`` means here. Raises InvalidRemote."""
        parts = self.path.rstrip("/").split("/")
        for part in relative.split("/"):
            if part == "..":
                if len(parts) <= (0 if self.scp else 1):
                    raise InvalidRemote(given=printable(relative))
                parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        moved = RemoteUrl(self.scheme, self.host, self.port, "/".join(parts), self.user, scp=self.scp)
        return RemoteUrl.parse(moved.text)


def shown(url: str) -> str:
    """What may not even be a URL, for a message: without what could be credentials or a token."""
    hidden = re.sub(r"^([a-z+]*://).*@", r"\1", url, flags=re.IGNORECASE | re.DOTALL)
    return printable(re.sub(r"\?.*", "?...", hidden), 160)


def parse_host(given: str) -> tuple[str, int | None]:
    """``host`` or ``host:port``. Raises InvalidHost."""
    match = _HOST_AND_PORT.fullmatch(given)
    if match is None or (match[2] and not 0 < int(match[2]) < 65536):
        raise InvalidHost(given=shown(given))
    return match[1].lower(), int(match[2]) if match[2] else None


def is_loopback(host: str) -> bool:
    """Whether what is sent there stays on this machine."""
    return LOOPBACK.fullmatch(host) is not None
