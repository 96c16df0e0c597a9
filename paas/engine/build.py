"""Building an image from a folder, with BuildKit where a Docker client here can, else by the classic API.

A ``docker`` client since 23 builds with BuildKit only through its buildx component; before that by itself. Several
clients may be installed: the first one that can is used, and remembered until the set of clients changes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from paas.console import Console
from paas.engine.build_options import BuildOptions
from paas.engine.client import engine_errors, failure, patience
from paas.errors import Cancelled, PaasError
from paas.settings import Settings

if TYPE_CHECKING:
    from docker import APIClient

BUILDX_SINCE = 23
PROBE_SECONDS = 20
# BuildKit 20.10 tells each step's digest on a line of its own, which means nothing to anybody.
_DIGEST_LINE = re.compile(r"#\d+ sha256:[0-9a-f]{64}")
_FULL = "no space left on device"
_ERROR_MARK = re.compile(r"^(#\d+ )?ERROR: ")
# How the two builders tell that a registry did not let them in.
_REFUSED = re.compile(
    r"401 Unauthorized|authorization failed|pull access denied|no basic auth credentials|unauthorized: "
)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[^\[]|[\x00-\x08\x0b-\x1f\x7f]")


class BuildFailed(PaasError):
    """App build failed: {reason}. The release that served before still does. Mend the Dockerfile or its files, then deploy again"""


class NeedsBuildkit(BuildFailed):
    """App build failed: the build option {option} needs BuildKit, and no Docker client here has it. The release that served before still does. Install docker-buildx-plugin, or take the option away with docker-options:remove"""


class BaseRefused(BuildFailed):
    """App build failed: an image of the Dockerfile's FROM lines can't be pulled ({reason}). Its registry wants credentials, or refused those that are set. The release that served before still does. Log in with registry:login, or set APTIBLE_PRIVATE_REGISTRY_USERNAME and APTIBLE_PRIVATE_REGISTRY_PASSWORD with config:set, then deploy again"""


@dataclass(frozen=True)
class BuildRequest:
    """What to build: the files in `folder`; `tag` the name that the image gets, `docker_config` the folder with the
    logins of this build, `dockerfile` its path in `folder`, `options` what users want besides."""

    folder: Path
    tag: str
    labels: dict[str, str]
    docker_config: Path
    dockerfile: str = "Dockerfile"
    options: BuildOptions = field(default_factory=BuildOptions)


def build_arguments(client: str, request: BuildRequest) -> list[str]:
    """The argument list of a BuildKit build of a folder."""
    dockerfile = str(request.folder / request.dockerfile)
    words = [client, "build", "--progress=plain", "--file", dockerfile, "--tag", request.tag]
    for name, value in sorted((request.options.labels | request.labels).items()):
        words += ["--label", f"{name}={value}"]
    return [*words, *request.options.client_words(), str(request.folder)]


def build(settings: Settings, api: APIClient, request: BuildRequest, console: Console) -> None:
    """Build a folder and tag the result. Raises BuildFailed, DiskFull, EngineUnavailable."""
    client = buildkit_client(settings)
    if client:
        _build_with_client(settings, client, request, console)
    else:
        _build_with_api(api, request, console)


def buildkit_client(settings: Settings) -> str | None:
    """The path of a Docker client that builds with BuildKit, None where none does."""
    memory = settings.run_dir / "buildkit-client.json"
    clients = _clients()
    state = [[path, Path(path).stat().st_mtime] for path in clients]
    try:
        known = json.loads(memory.read_text())
        if known["clients"] == state:
            return str(known["chosen"]) if known["chosen"] else None
    except (OSError, ValueError, KeyError):
        pass
    chosen = next((path for path in clients if _builds_with_buildkit(path)), None)
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_text(json.dumps({"clients": state, "chosen": chosen}))
    return chosen


def _clients() -> list[str]:
    found: dict[str, str] = {}
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = Path(folder) / "docker"
        if folder and os.access(path, os.X_OK):
            found.setdefault(str(path.resolve()), str(path))
    return list(found.values())


def _builds_with_buildkit(client: str) -> bool:
    if _answer([client, "buildx", "version"]) is not None:
        return True
    version = _answer([client, "version", "--format", "{{.Client.Version}}"]) or _answer(
        [client, "--version"]
    )
    match = re.search(r"(\d+)\.\d+", version or "")
    return match is not None and int(match[1]) < BUILDX_SINCE


def _answer(words: list[str]) -> str | None:
    try:
        result = subprocess.run(words, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None


def client_environment(settings: Settings, config: Path) -> dict[str, str]:
    """What a Docker client of ours may see: no user's own Docker settings or credentials."""
    kept = {name: os.environ[name] for name in ("PATH", "DOCKER_HOST") if name in os.environ}
    return kept | {
        "HOME": str(settings.root),
        "DOCKER_CONFIG": str(config),
        "DOCKER_BUILDKIT": "1",
        "DOCKER_CLI_HINTS": "false",
        "LANG": "C.UTF-8",
    }


def _build_with_client(settings: Settings, client: str, request: BuildRequest, console: Console) -> None:
    # With the command process gone (kill -9) nobody would want the build any more: the kernel ends it.
    words = ["setpriv", "--pdeathsig", "KILL", *build_arguments(client, request)]
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=request.options.client_environment() | client_environment(settings, request.docker_config),
        start_new_session=True,
    )
    tail: list[str] = []
    full = ""
    try:
        for line in _clean_lines(process.stdout or ()):
            tail = [*tail[-9:], line]
            full = line if _FULL in line.lower() else full
            console.detail(line)
        code = process.wait()
    except (Cancelled, PaasError):
        process.kill()
        process.wait()
        raise
    finally:
        if process.stdout:
            process.stdout.close()
    if code:
        reason = next((line for line in reversed(tail) if "ERROR" in line or "rror" in line), "")
        # What a program of a RUN line said of it explains more than that it failed.
        raise _failure(full or reason or f"the builder ended with code {code}")


def _build_with_api(api: APIClient, request: BuildRequest, console: Console) -> None:
    from docker.auth import load_config

    options = request.options
    limits: Any = options.limits
    if options.needs_buildkit:
        raise NeedsBuildkit(option=options.needs_buildkit)
    with engine_errors():
        api._auth_configs = load_config(str(request.docker_config / "config.json"))  # type: ignore[attr-defined]
        with patience(api):
            events = api.build(
                path=str(request.folder),
                dockerfile=request.dockerfile,
                tag=request.tag,
                labels=options.labels | request.labels,
                buildargs=options.arguments,
                container_limits=limits,
                rm=True,
                forcerm=True,
                decode=True,
                **options.api,
            )
        reason = full = ""
        for event in events:
            for line in _clean_lines([str(event.get("stream", "")).encode()]):
                console.detail(line)
                full = line if _FULL in line.lower() else full
            reason = event.get("error") or reason
    # Read to its end first, so that the connection is given back.
    if reason:
        raise _failure(full or reason)


def _failure(reason: str) -> PaasError:
    if _FULL in reason.lower():
        return failure(_short(reason))
    return (BaseRefused if _REFUSED.search(reason) else BuildFailed)(reason=_short(reason))


def _clean_lines(chunks: IO[bytes] | list[bytes] | tuple[bytes, ...]) -> Iterator[str]:
    """Lines as text, without blank ones, digests, terminal escapes and control characters."""
    for chunk in chunks:
        for line in chunk.decode("utf-8", "replace").splitlines():
            clean = _ESCAPES.sub("", line).rstrip()
            if clean and not _DIGEST_LINE.fullmatch(clean):
                yield clean


def _short(reason: str) -> str:
    return _ERROR_MARK.sub("", " ".join(reason.split()))[:300]
