"""Pulling an image, and what a registry's refusals mean for the user."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from paas.console import Console
from paas.engine.client import engine_errors, failure, patience
from paas.errors import PaasError
from paas.model.image import ImageRef
from paas.model.operation import without

if TYPE_CHECKING:
    from docker import APIClient


class PullFailed(PaasError):
    """Failed to pull image: {image}. {what}. Nothing was changed. {advice}"""


# Marks of a registry that is not trusted, of any transfer.
TRUST: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("x509", "certificate"),
        "The certificate of the registry {registry} is not trusted here ({reason})",
        "Put its CA's certificate into /etc/docker/certs.d/{registry}/ca.crt on the server",
    ),
    (
        ("server gave HTTP response to HTTPS client",),
        "The registry {registry} does not speak TLS",
        "Give it a certificate, or list it in the engine's insecure-registries",
    ),
)
UNREACHABLE = (
    "dial tcp",
    "no such host",
    "connection refused",
    "timeout",
    "Timeout",
    "network is unreachable",
    "proxyconnect",
    "EOF",
    "server misbehaving",
)
# Marks in the engine's message, what they mean, and what to do; the first that fits counts.
MEANINGS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("toomanyrequests", "pull rate limit"),
        "The registry {registry} takes no more pulls from here for now (rate limit)",
        "Try again later, or pull with credentials",
    ),
    *TRUST,
    (
        ("no matching manifest",),
        "The registry {registry} has no such image for this machine's architecture",
        "Build it for this architecture too",
    ),
    (
        ("manifest unknown", "manifest for", "name unknown", "NAME_UNKNOWN"),
        "The registry {registry} has no image {name}",
        "Check the name and the tag",
    ),
    (
        ("unexpected EOF", "connection reset", "broken pipe"),
        "The registry {registry} broke off in the middle of the pull",
        "Send the command again; what was fetched is kept",
    ),
    (
        UNREACHABLE,
        "The registry {registry} can't be reached ({reason})",
        "Check the name and the network, or send the image with git:load-image",
    ),
)
DENIED = (
    "unauthorized",
    "denied",
    "no basic auth credentials",
    "authentication required",
    "incorrect username",
)


def pull(api: APIClient, ref: ImageRef, console: Console, auth: dict[str, str] | None = None) -> None:
    """Fetch an image with progress, with `auth` (username and password) where given.

    Raises PullFailed, DiskFull, EngineUnavailable.
    """
    from docker.errors import APIError

    if ref.is_id:
        raise PullFailed(image=ref, what="An image id can't be pulled", advice="Give a name and a tag")
    layers = Layers(console, ref, "Pulling", "Downloading", "Download complete", "Pull complete")
    user, password = (auth["username"], auth["password"]) if auth else (None, "")
    # The engine asks a registry that does not answer again and again, for a minute, and says nothing meanwhile.
    with engine_errors(), patience(api), layers.told():
        try:
            events = api.pull(
                ref.repository,
                tag=ref.digest or ref.tag or "latest",
                stream=True,
                decode=True,
                # An empty one keeps the library from looking for somebody's own logins.
                auth_config=auth or {},
            )
            for event in events:
                if "error" in event:
                    raise pull_failure(ref, without(str(event["error"]), password), user)
                layers.update(event)
        except APIError as error:
            raise pull_failure(ref, without(str(error.explanation or error), password), user) from None


def pull_failure(ref: ImageRef, message: str, user: str | None = None) -> PaasError:
    """The error that fits what the engine said about a pull; never with a password in it."""
    reason = " ".join(message.split())
    if "no space left on device" in reason:
        return failure(reason)
    words = {"registry": ref.registry, "name": ref.name, "reason": reason}
    if any(mark in reason for mark in DENIED):
        return _denied(ref, user)
    for marks, what, advice in MEANINGS:
        if any(mark in reason for mark in marks):
            return PullFailed(image=ref, what=what.format(**words), advice=advice.format(**words))
    return PullFailed(image=ref, what=reason.rstrip("."), advice="Check the name and the tag")


def _denied(ref: ImageRef, user: str | None) -> PullFailed:
    if user:
        return PullFailed(
            image=ref,
            what=f"The registry {ref.registry} refused the user {user}: wrong or expired credentials, or no right to it",
            advice="Give fresh ones: registry:login, or deploy --private-registry-username USER --private-registry-password -",
        )
    return PullFailed(
        image=ref,
        what=f"The registry {ref.registry} has no such image, or wants credentials for it",
        advice="Check the name; for a private image log in with registry:login, or set a username and password with deploy or config:set",
    )


class Layers:
    """Adds up the layers' bytes of a transfer; `busy` is the engine's word for one under way, `ends` those for its end."""

    def __init__(self, console: Console, ref: ImageRef, what: str, busy: str, *ends: str) -> None:
        self.progress = console.progress(f"{what} {ref.name}")
        self.registry = ref.registry
        self.busy, self.ends = busy, ends
        self.done: dict[str, int] = {}
        self.total: dict[str, int] = {}

    def told(self) -> contextlib.AbstractContextManager[None]:
        """While the block runs, say now and then how far it is."""
        return self.progress.ticking(self._state)

    def _state(self) -> str:
        if not self.total:
            return f"waiting for {self.registry}, {self.progress.seconds():.0f} s"
        return self.progress.rate(sum(self.done.values()), sum(self.total.values()))

    def update(self, event: dict[str, Any]) -> None:
        detail = event.get("progressDetail") or {}
        if event.get("status") == self.busy and detail.get("total"):
            self.done[event["id"]] = detail["current"]
            # What is packed on the way may become larger than it was thought to be.
            self.total[event["id"]] = max(detail["total"], detail["current"])
        elif event.get("status") in self.ends and event.get("id") in self.total:
            self.done[event["id"]] = self.total[event["id"]]
