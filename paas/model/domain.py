"""Domains under which apps are reached."""

from __future__ import annotations

import re

from paas.errors import PaasError
from paas.model.names import printable

DOMAIN_LENGTH = 253
_LABEL = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
DOMAIN = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")


class InvalidDomain(PaasError):
    """{domain} is invalid. exiting..."""


class Domain(str):
    """A host name in lower case; ``*.example.com`` is every name below example.com."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Domain:
        """Raises InvalidDomain."""
        name = text.lower()
        if not text.isascii() or len(name) > DOMAIN_LENGTH or not DOMAIN.fullmatch(name):
            raise InvalidDomain(domain=printable(text))
        return cls(name)

    @property
    def is_wildcard(self) -> bool:
        return self.startswith("*")
