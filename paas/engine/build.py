"""Building an image from a context: by the engine's own BuildKit, or by its classic builder where it has none.

No Docker client takes part: the builder is asked through the engine's API, and asks back for what it needs in a
session (`paas.engine.buildkit`). So files, logins and secrets go from memory to the builder that wants them.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from paas.console import Console
from paas.engine.build_options import BuildOptions
from paas.engine.buildkit.files import without
from paas.engine.buildkit.progress import Progress
from paas.engine.buildkit.session import NoSession, Offer, session
from paas.engine.buildkit.wire import Malformed
from paas.engine.client import DEFAULT_ADDRESS, engine_errors, failure, patience
from paas.engine.context import Context, as_tar
from paas.errors import PaasError
from paas.settings import Settings

if TYPE_CHECKING:
    from docker import APIClient

DOCKERIGNORE = ".dockerignore"
CACHE_NAMESPACE = "BUILDKIT_CACHE_MOUNT_NS"
_FULL = "no space left on device"
# How the two builders tell that a registry did not let them in.
_REFUSED = re.compile(
    r"401 Unauthorized|authorization failed|pull access denied|no basic auth credentials|unauthorized: "
)
# Where in BuildKit it happened says nothing to anybody.
_WHERE = re.compile(r"^failed to solve( with frontend [\w.]+)?: (failed to (build LLB|create LLB definition): )?")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[^\[]|[\x00-\x08\x0b-\x1f\x7f]")


class BuildFailed(PaasError):
    """App build failed: {reason}. The release that served before still does. Mend the Dockerfile or its files, then deploy again"""


class NeedsBuildkit(BuildFailed):
    """App build failed: the build option {option} needs BuildKit, and this Docker Engine has none. The release that served before still does. Take the option away with docker-options:remove, or use an engine with BuildKit"""


class BaseRefused(BuildFailed):
    """App build failed: an image of the Dockerfile's FROM lines can't be pulled ({reason}). Its registry wants credentials, or refused those that are set. The release that served before still does. Log in with registry:login, or set APTIBLE_PRIVATE_REGISTRY_USERNAME and APTIBLE_PRIVATE_REGISTRY_PASSWORD with config:set, then deploy again"""


@dataclass(frozen=True)
class BuildRequest:
    """What to build: `tag` is the name that the image gets, `dockerfile` a path in `context`, `auths` the logins as in a
    Docker configuration, `secret` gives that of an id (None: there is none), `options` are what users want besides.

    `cache`: builds with the same word send only files that are new, and share the caches that their Dockerfiles mount.
    """

    context: Context
    tag: str
    labels: Mapping[str, str]
    dockerfile: str = "Dockerfile"
    auths: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    secret: Callable[[str], bytes | None] = lambda name: None
    options: BuildOptions = field(default_factory=BuildOptions)
    cache: str = ""


def build(settings: Settings, api: APIClient, request: BuildRequest, console: Console) -> None:
    """Build and tag. Raises BuildFailed, DiskFull, EngineUnavailable, EngineFailed."""
    address = settings.docker_host or DEFAULT_ADDRESS
    options = request.options
    offer = Offer(request.context, request.cache, request.auths, lambda name: options.secret(name) or request.secret(name))
    with contextlib.ExitStack() as stack:
        try:
            with engine_errors(address):
                number = stack.enter_context(session(address, api.api_version, offer))
        except NoSession:
            build_classic(api, request, console)
            return
        build_with_buildkit(api, request, number, console)


def parameters(request: BuildRequest) -> dict[str, Any]:
    """What a build is asked with, as the engine's API spells it."""
    options = request.options
    return {
        "dockerfile": request.dockerfile,
        "t": request.tag,
        "labels": json.dumps({**options.labels, **request.labels}),
        "buildargs": json.dumps(options.arguments),
        "rm": "1",
        "forcerm": "1",
        **options.query(),
    }


def build_with_buildkit(api: APIClient, request: BuildRequest, session_id: str, console: Console) -> None:
    """By BuildKit, which asks in a session for what it needs."""
    asked = {"version": "2", "session": session_id, "buildid": secrets.token_hex(12), "remote": "client-session"}
    if request.cache:
        # Nobody else's builds share the caches that a Dockerfile mounts.
        asked["buildargs"] = json.dumps({**request.options.arguments, CACHE_NAMESPACE: request.cache})
    progress = Progress()

    def lines(event: Mapping[str, Any]) -> Iterator[str]:
        if event.get("id") == "moby.buildkit.trace":
            with contextlib.suppress(Malformed, ValueError):
                yield from progress.lines(base64.b64decode(event["aux"]))

    _ask(api, {**parameters(request), **asked}, lines, console)


def build_classic(api: APIClient, request: BuildRequest, console: Console) -> None:
    """By the classic builder, which gets the files as they are read."""
    options = request.options
    if options.needs_buildkit:
        raise NeedsBuildkit(option=options.needs_buildkit)
    headers = {"Content-Type": "application/x-tar"}
    if request.auths:
        headers["X-Registry-Config"] = _logins(request.auths)

    def lines(event: Mapping[str, Any]) -> Iterator[str]:
        yield from str(event.get("stream", "")).splitlines()

    _ask(api, parameters(request), lines, console, headers, _archive(request))


def _ask(
    api: APIClient,
    asked: Mapping[str, Any],
    lines: Callable[[Mapping[str, Any]], Iterable[str]],
    console: Console,
    headers: Mapping[str, str] | None = None,
    files: Iterator[bytes] | None = None,
) -> None:
    """Ask for a build and show how it goes. Raises what `build` does."""
    client: Any = api
    reason = full = ""
    with engine_errors(), patience(api):
        response = client._post(client._url("/build"), params=asked, headers=headers, data=files, stream=True)
        # A builder whose client is gone gives up.
        with contextlib.closing(response):
            client._raise_for_status(response)
            for event in client._stream_helper(response, decode=True):
                reason = event.get("error") or reason
                for line in _clean_lines(lines(event)):
                    console.detail(line)
                    full = line if _FULL in line.lower() else full
    if reason:
        # What a program of a RUN line said of it explains more than that it failed.
        raise _failure(full or reason)


def _logins(auths: Mapping[str, Mapping[str, str]]) -> str:
    """Logins as the classic builder takes them, in a header."""
    found = {}
    for server, login in auths.items():
        user, _, password = base64.b64decode(login["auth"]).decode().partition(":")
        found[server] = {"username": user, "password": password, "serveraddress": server}
    return base64.urlsafe_b64encode(json.dumps(found).encode()).decode()


def _archive(request: BuildRequest) -> Iterator[bytes]:
    context = request.context
    entries = context.entries()
    ignoring = next((entry for entry in entries if entry.path == DOCKERIGNORE), None)
    if ignoring is not None:
        lines = b"".join(context.read(ignoring)).decode("utf-8", "replace").splitlines()
        patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        needed = context.always | {request.dockerfile, DOCKERIGNORE}
        entries = without(entries, patterns, needed) if patterns else entries
    return as_tar(context, entries)


def _failure(reason: str) -> PaasError:
    if _FULL in reason.lower():
        return failure(_short(reason))
    return (BaseRefused if _REFUSED.search(reason) else BuildFailed)(reason=_short(reason))


def _clean_lines(lines: Iterable[str]) -> Iterator[str]:
    """Without blank ones, terminal escapes and control characters."""
    for line in lines:
        clean = _ESCAPES.sub("", line).rstrip()
        if clean:
            yield clean


def _short(reason: str) -> str:
    return _WHERE.sub("", " ".join(reason.split()))[:300].rstrip(". ")
