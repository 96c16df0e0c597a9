"""The way to a registry: logging in, and pushing an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paas.console import Console
from paas.engine.client import engine_errors, patience
from paas.engine.pull import DENIED, TRUST, UNREACHABLE, Layers
from paas.errors import PaasError
from paas.model.image import DEFAULT_REGISTRY, HUB_AUTH, ImageRef
from paas.model.operation import without

if TYPE_CHECKING:
    from docker import APIClient

UNAUTHORIZED = "401 Unauthorized"


class LoginFailed(PaasError):
    """Login at {server} failed. {what}. Nothing was changed. {advice}"""


class PushFailed(PaasError):
    """Failed to push image: {image}. {what}. Nothing was changed; the release that served before still does. {advice}"""


def log_in(api: APIClient, server: str, username: str, password: str) -> None:
    """Ask a registry, from where pulls are made, whether it takes this user. Raises LoginFailed."""
    from docker.errors import APIError

    address = HUB_AUTH if server == DEFAULT_REGISTRY else server
    body = {"username": username, "password": password, "serveraddress": address}
    with engine_errors():
        try:
            # The library's own `login` would look for somebody's own logins first.
            answer = api._post_json(api._url("/auth"), data=body)  # type: ignore[attr-defined]
            api._raise_for_status(answer)  # type: ignore[attr-defined]
        except APIError as error:
            reason = " ".join(without(str(error.explanation or error), password).split())
            what, advice = _meaning(server, username, reason)
            raise LoginFailed(server=server, what=what, advice=advice) from None


def push(api: APIClient, ref: ImageRef, console: Console, auth: dict[str, str] | None = None) -> None:
    """Send the image that has this name to its registry, with progress. Raises PushFailed, EngineUnavailable."""
    from docker.errors import APIError

    layers = Layers(console, ref, "Pushing", "Pushing", "Pushed")
    user, password = (auth["username"], auth["password"]) if auth else (None, "")
    with engine_errors(), patience(api), layers.told():
        try:
            # An empty login keeps the library from looking for somebody's own.
            events = api.push(
                ref.repository, tag=ref.tag or "latest", stream=True, decode=True, auth_config=auth or {}
            )
            for event in events:
                if "error" in event:
                    raise _push_failure(ref, without(str(event["error"]), password), user)
                layers.update(event)
        except APIError as error:
            raise _push_failure(ref, without(str(error.explanation or error), password), user) from None


def _push_failure(ref: ImageRef, message: str, user: str | None) -> PushFailed:
    what, advice = _meaning(ref.registry, user, " ".join(message.split()))
    return PushFailed(image=ref.name, what=what, advice=advice)


def _meaning(server: str, user: str | None, reason: str) -> tuple[str, str]:
    """What a registry's answer means, and what to do."""
    for marks, what, advice in TRUST:
        if any(mark in reason for mark in marks):
            words = {"registry": server, "reason": reason}
            return what.format(**words), advice.format(**words)
    if any(mark in reason for mark in (*DENIED, UNAUTHORIZED)):
        if user is None:
            return f"The registry {server} wants credentials", "Log in first: registry:login APP SERVER USER"
        return (
            f"The registry {server} refused the user {user}: wrong or expired credentials, or no right to it",
            "Check them, and log in again with registry:login",
        )
    if any(mark in reason for mark in UNREACHABLE):
        return f"The registry {server} can't be reached ({reason})", "Check the name and the network"
    return reason.rstrip("."), "Try again"
