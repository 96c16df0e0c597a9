"""Credentials for private registries: APTIBLE_PRIVATE_REGISTRY_* in an app's config, else its registry:login, else the
global one for that server.

They go to the engine in a request's header, or to the builder when it asks for them: never in an argument, a file, a
log, an image or a container.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from paas.deploy.session import Session
from paas.errors import PaasError
from paas.model.image import DEFAULT_REGISTRY, HUB_AUTH, ImageRef, registry_server
from paas.store.apps import App
from paas.store.logins import NAMESPACE, Logins

IMAGE_KEY = "APTIBLE_DOCKER_IMAGE"
HOST_KEY = "APTIBLE_PRIVATE_REGISTRY_HOST"
USERNAME_KEY = "APTIBLE_PRIVATE_REGISTRY_USERNAME"
PASSWORD_KEY = "APTIBLE_PRIVATE_REGISTRY_PASSWORD"  # noqa: S105 - the name of a variable
EMAIL_KEY = "APTIBLE_PRIVATE_REGISTRY_EMAIL"
REGISTRY_KEYS = (HOST_KEY, USERNAME_KEY, PASSWORD_KEY, EMAIL_KEY)
PLATFORM_KEYS = (IMAGE_KEY, *REGISTRY_KEYS)

# Blanks of one line only: a megabyte of empty lines would take hours.
_FROM = re.compile(r"(?im)^[ \t]*FROM[ \t]+(?:--platform=\S+[ \t]+)?(\S+)")


class CredentialsIncomplete(PaasError):
    """The private registry's {given} is set without its {missing}. Nothing was changed. Give both, or unset both with empty values"""


@dataclass(frozen=True)
class Credentials:
    """A registry's user. Neither `repr` nor `str` tells the password."""

    username: str
    password: str
    host: str | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, '********', {self.host!r})"

    @classmethod
    def of(cls, config: dict[str, str]) -> Credentials | None:
        """Those in an app's config; None where there are none. Raises CredentialsIncomplete."""
        username, password = config.get(USERNAME_KEY, ""), config.get(PASSWORD_KEY, "")
        if not username and not password:
            return None
        if not username or not password:
            raise CredentialsIncomplete(
                given="username" if username else "password", missing="password" if username else "username"
            )
        return cls(username, password, config.get(HOST_KEY) or None)

    def for_pull(self) -> dict[str, str]:
        """As the engine takes them with a pull."""
        return {"username": self.username, "password": self.password}

    def auths(self, hosts: list[str]) -> dict[str, dict[str, str]]:
        """The ``auths`` of a Docker configuration for some registries."""
        token = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        names = [self.host] if self.host else hosts
        return {HUB_AUTH if name == DEFAULT_REGISTRY else name: {"auth": token} for name in names}


def login_for(session: Session, app: App, server: str) -> Credentials | None:
    """What registry:login stored for a server: the app's, else the global one."""
    found = Logins(session.properties).find(app.id, registry_server(server))
    return Credentials(*found, registry_server(server)) if found else None


def pull_credentials(session: Session, app: App, config: dict[str, str], ref: ImageRef) -> Credentials | None:
    """Whom a pull of an image says it is. Raises CredentialsIncomplete."""
    own = Credentials.of(config)
    if own is not None and own.host in (None, ref.registry):
        return own
    return (None if ref.is_id else login_for(session, app, ref.registry)) or own


def push_credentials(session: Session, app: App, config: dict[str, str], server: str) -> Credentials | None:
    """Whom a push says it is: a password in the config is for pulls, unless its host is this server."""
    own = Credentials.of(config)
    return login_for(session, app, server) or (own if own is not None and own.host == server else None)


def build_auths(
    session: Session, app: App, config: dict[str, str], dockerfile: bytes
) -> dict[str, dict[str, str]]:
    """The ``auths`` of a build. Each of its logins is told to its own server only, whatever the Dockerfile names."""
    known = Logins(session.properties).servers(app.id)
    return _stored_auths(session, app, known) | own_auths(session, app, config, dockerfile)


def own_auths(
    session: Session, app: App, config: dict[str, str], dockerfile: bytes
) -> dict[str, dict[str, str]]:
    """As `build_auths`, without the global logins."""
    own = Credentials.of(config)
    stored = _stored_auths(session, app, session.properties.all(app.id, NAMESPACE))
    return stored | (own.auths(registries_of(dockerfile)) if own else {})


def _stored_auths(session: Session, app: App, servers: Iterable[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for server in servers:
        login = login_for(session, app, server)
        found |= login.auths([server]) if login else {}
    return found


def registries_of(dockerfile: bytes) -> list[str]:
    """The registries that a Dockerfile's FROM lines name, without stages and ``scratch``."""
    found: dict[str, None] = {}
    for name in _FROM.findall(dockerfile.decode("utf-8", "replace")):
        with contextlib.suppress(PaasError):
            if name != "scratch" and "$" not in name:
                found[ImageRef.parse(name).registry] = None
    return list(found)
