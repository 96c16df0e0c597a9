"""Image references, as ``docker pull`` takes them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from paas.errors import PaasError
from paas.model.names import printable

DEFAULT_REGISTRY = "docker.io"
# What its logins are kept under and asked for by.
HUB_AUTH = "https://index.docker.io/v1/"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]{1,5})?"
_REFERENCE = re.compile(
    rf"(?:(?P<host>{_HOST}|\[[0-9a-fA-F:]+\](?::[0-9]{{1,5}})?)/)?"
    rf"(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}")
_SERVER = re.compile(rf"{_HOST}|\[[0-9a-fA-F:]+\](?::[0-9]{{1,5}})?")
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HUB = ("docker.io", "hub.docker.com", "index.docker.io", "registry-1.docker.io")


class ImageNotSpecified(PaasError):
    """Please specify a docker image"""


class InvalidImage(PaasError):
    """Invalid docker image: {text}. Give it as docker pull takes it, for example registry.example.com/team/app:1.2"""


class InvalidServer(PaasError):
    """Invalid registry server: {text}. Give its host name, and its port where it has one, for example registry.example.com:5000. Nothing was changed"""


def registry_server(text: str) -> str:
    """The host of a registry however it was written: ``https://quay.io/``, ``quay.io``; all names of Docker Hub are
    ``docker.io``. Raises InvalidServer."""
    host = text.removeprefix("https://").removeprefix("http://").partition("/")[0]
    if len(host) > 255 or not _SERVER.fullmatch(host):
        raise InvalidServer(text=printable(text))
    host = host.lower()
    return DEFAULT_REGISTRY if host in _HUB else host


def is_repository(text: str) -> bool:
    """Whether it is the path of an image, without host and tag."""
    return len(text) <= 255 and _REPOSITORY.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    return _TAG.fullmatch(text) is not None


@dataclass(frozen=True)
class ImageRef:
    """A parsed reference. `text` is as the user wrote it; `tag` and `digest` are None where not given.

    An image id (``sha256:`` and 64 hex digits) is a reference without a repository.
    """

    text: str
    host: str
    path: str
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> ImageRef:
        """Raises ImageNotSpecified for nothing, InvalidImage for what Docker would not take either."""
        if not text:
            raise ImageNotSpecified()
        if _ID.fullmatch(text):
            return cls(text, "", "", None, "sha256:" + text.removeprefix("sha256:"))
        match = _REFERENCE.fullmatch(text)
        if not match or len(text) > 512:
            raise InvalidImage(text=printable(text))
        host, path = match["host"] or "", match["path"]
        if host and not ("." in host or ":" in host or host == "localhost"):
            # docker: a first component without dot, colon or "localhost" belongs to the path.
            if host != host.lower():
                raise InvalidImage(text=printable(text))
            host, path = "", f"{host}/{path}"
        return cls(text, host, path, match["tag"], match["digest"])

    @property
    def is_id(self) -> bool:
        """True for an image id, which can't be pulled."""
        return not self.path

    @property
    def registry(self) -> str:
        """The registry's host and port, ``docker.io`` where the name has none."""
        return self.host or DEFAULT_REGISTRY

    @property
    def repository(self) -> str:
        """Without tag and digest, as the engine lists it: ``quay.io/o/app``, ``nginx``."""
        path = self.path
        if self.host in ("docker.io", "index.docker.io"):
            return path.removeprefix("library/")
        return f"{self.host}/{path}" if self.host else path.removeprefix("library/")

    @property
    def name(self) -> str:
        """``repository:tag`` or ``repository@digest``, with the tag that Docker would take (``latest``)."""
        if self.is_id:
            return str(self.digest)
        if self.digest:
            return f"{self.repository}@{self.digest}"
        return f"{self.repository}:{self.tag or 'latest'}"

    def __str__(self) -> str:
        return self.text
