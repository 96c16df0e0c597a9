"""Words as `docker build` takes them, for both builders: BuildKit and the classic one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paas.engine import option_values as values
from paas.engine import options
from paas.engine.options import BadOption
from paas.model.names import printable

# The library's words and the API's.
_SPELLED = {
    "cache_from": "cachefrom", "extra_hosts": "extrahosts", "network_mode": "networkmode",
}  # fmt: skip


@dataclass
class BuildOptions:
    """What the words ask for. `arguments` are build arguments; `api` are keyword arguments of the library's build;
    `limits` its container limits; `labels` the image's; `secrets` files by id."""

    arguments: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    api: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, int | str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def needs_buildkit(self) -> str:
        """A flag that the classic builder does not know, empty where there is none."""
        return "--secret" if self.secrets else ""

    def query(self) -> dict[str, Any]:
        """The same for BuildKit, as the engine's API spells it."""
        found: dict[str, Any] = {_SPELLED.get(key, key): value for key, value in {**self.api, **self.limits}.items()}
        for key in ("nocache", "pull"):
            if key in found:
                found[key] = "1" if found[key] else "0"
        if "cachefrom" in found:
            found["cachefrom"] = json.dumps(found["cachefrom"])
        if "extrahosts" in found:
            found["extrahosts"] = [f"{name}:{address}" for name, address in found["extrahosts"].items()]
        return found

    def secret(self, name: str) -> bytes | None:
        """The content of a secret's file. Raises BadOption."""
        if name not in self.secrets:
            return None
        try:
            return Path(self.secrets[name]).read_bytes()
        except OSError as error:
            raise BadOption(option=f"--secret id={name}", reason=f"its file can't be read: {error.strerror}") from None


def pairs(words: Iterable[str]) -> list[tuple[str, str]]:
    """The flags by their long names and their values. Raises BadOption."""
    return list(options.pairs(words, VALUES, BOOLEANS, REFUSED))


def parse(words: Iterable[str]) -> BuildOptions:
    """Read words (``--build-arg X=1 --no-cache``). Raises BadOption."""
    found = BuildOptions()
    for flag, value in pairs(words):
        try:
            (VALUES.get(flag) or BOOLEANS[flag])(found, flag, value)
        except ValueError as error:
            raise BadOption(option=flag, reason=printable(str(error), 300)) from None
    return found


Apply = Callable[[BuildOptions, str, str], None]


def _argument(found: BuildOptions, flag: str, text: str) -> None:
    name, value = values.pair(text)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"{name!r} is not a name of a build argument")
    found.arguments[name] = value


def _label(found: BuildOptions, flag: str, text: str) -> None:
    found.labels.update([values.label(text)])


def _value(key: str, read: Callable[[str], Any] = values.some, limit: bool = False) -> Apply:
    """One value."""

    def apply(found: BuildOptions, flag: str, text: str) -> None:
        (found.limits if limit else found.api)[key] = read(text)

    return apply


def _switch(key: str) -> Apply:
    def apply(found: BuildOptions, flag: str, text: str) -> None:
        found.api[key] = values.boolean(text)

    return apply


def _cache_from(found: BuildOptions, flag: str, text: str) -> None:
    found.api.setdefault("cache_from", []).append(values.some(text))


def _add_host(found: BuildOptions, flag: str, text: str) -> None:
    name, _, address = values.host_entry(text).partition(":")
    found.api.setdefault("extra_hosts", {})[name] = address


def _secret(found: BuildOptions, flag: str, text: str) -> None:
    fields = dict(values.pair(item) for item in text.split(","))
    path = fields.get("src") or fields.get("source", "")
    if "id" not in fields or not path.startswith("/"):
        raise ValueError(f"{text!r} is not id=NAME,src=/PATH")
    found.secrets[fields["id"]] = path


VALUES: dict[str, Apply] = {
    "--add-host": _add_host,
    "--build-arg": _argument,
    "--cache-from": _cache_from,
    "--cpu-shares": _value("cpushares", values.integer(0), limit=True),
    "--cpuset-cpus": _value("cpusetcpus", limit=True),
    "--label": _label,
    "--memory": _value("memory", values.size, limit=True),
    "--memory-swap": _value("memswap", values.size_or_unlimited, limit=True),
    "--network": _value("network_mode"),
    "--platform": _value("platform"),
    "--secret": _secret,
    "--shm-size": _value("shmsize", values.size),
    "--target": _value("target"),
}
BOOLEANS: dict[str, Apply] = {"--no-cache": _switch("nocache"), "--pull": _switch("pull")}
_OF_CONTAINERS = "a build can't use it. Add it to the deploy or run phase"
REFUSED = {
    **{flag: _OF_CONTAINERS for flag in (*options.VALUES, *options.BOOLEANS) if flag not in VALUES},
    "--file": "the Dockerfile's path is set by builder-dockerfile:set APP dockerfile-path",
    "--tag": "paas itself decides that",
    "--rm": "paas itself decides that",
    "--force-rm": "paas itself decides that",
    "--ssh": "there is no agent with keys in a build. Use --secret",
    "--quiet": "paas itself decides that",
    "--progress": "paas itself decides that",
    "--output": "paas itself decides that",
}
