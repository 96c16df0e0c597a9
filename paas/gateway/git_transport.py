"""git's server side: one bare repository, our own options, nothing of the client's in the arguments."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import paas
from paas.errors import Cancelled
from paas.gateway import stub
from paas.model.caller import Caller
from paas.settings import Settings

Service = Literal["git-receive-pack", "git-upload-pack"]

MAX_PACK_BYTES = 4 << 30
CLEAN_UP_SECONDS = 5.0
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOOKS = Path(paas.__file__).parent.parent / "hooks"
# What a hook's command needs to find the same installation when it has to run without a server.
PASSED_ON = (
    "DOCKER_HOST",
    "PAAS_DOMAIN",
    "PAAS_HTTP_LISTEN",
    "PAAS_HTTPS_LISTEN",
    "PAAS_SSH_LISTEN",
    "PAAS_ROUTER",
)

OPTIONS = {
    "core.hooksPath": str(HOOKS),
    "core.fsmonitor": "",
    "gc.auto": "0",
    "protocol.ext.allow": "never",
    "receive.advertisePushOptions": "true",
    "receive.autogc": "false",
    # The hook decides about deletions; its message says more than git's.
    "receive.denyDeleteCurrent": "ignore",
    "receive.fsckObjects": "true",
    # Harmless faults that old histories carry and their owners can't mend.
    "receive.fsck.badTimezone": "ignore",
    "receive.fsck.missingSpaceBeforeDate": "ignore",
    "receive.fsck.zeroPaddedFilemode": "ignore",
    "receive.maxInputSize": str(MAX_PACK_BYTES),
    "safe.directory": "*",
}


def arguments(service: Service) -> list[str]:
    """The command line; the repository is the directory in which it runs."""
    options = [word for name, value in OPTIONS.items() for word in ("-c", f"{name}={value}")]
    return ["git", *options, service.removeprefix("git-"), "."]


def environment(settings: Settings, caller: Caller, hook: Mapping[str, str]) -> dict[str, str]:
    """All that git and its hooks see; `hook` is what the hook's command needs besides."""
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    env |= {
        "PATH": os.environ.get("PATH", DEFAULT_PATH),
        "HOME": str(settings.root),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "PAAS_ROOT": str(settings.root),
        "PAAS_DOOR": "hook",
        "PAAS_STUB": stub.__file__,
        "PAAS_PYTHON": sys.executable,
    }
    if caller.key_id is not None:
        env["PAAS_KEY_ID"] = str(caller.key_id)
    if "GIT_PROTOCOL" in caller.environment:
        env["GIT_PROTOCOL"] = caller.environment["GIT_PROTOCOL"]
    return env | dict(hook)


def run_git_service(
    settings: Settings,
    service: Service,
    repository: Path,
    caller: Caller,
    hook_environment: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Serve one push or fetch of `repository` on our own standard descriptors; git's exit code.

    Raises Cancelled when the client goes away, once git and its hooks are gone too.
    """
    env = environment(settings, caller, hook_environment)
    process = subprocess.Popen(arguments(service), cwd=repository, env=env, start_new_session=True)
    try:
        code = process.wait()
    except Cancelled:
        _end(process)
        raise
    return code if code >= 0 else 128 - code


def _end(process: subprocess.Popen[bytes]) -> None:
    # git alone first, so that it removes what the push has brought; then the hook's stub, whose connection tells
    # the deploy once, and not twice, that it is cancelled.
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(CLEAN_UP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
