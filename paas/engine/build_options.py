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


@dataclass
class BuildOptions:
    """What the words ask for. `arguments` are build arguments; `labels` the image's; `secrets` files by id; `api` what
    else the engine's API takes, as it is spelled there."""

    arguments: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    api: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def needs_buildkit(self) -> str:
        """A flag that the classic builder does not know, empty where there is none."""
        return "--secret" if self.secrets else ""

    def query(self) -> dict[str, Any]:
        """`api` as it is written into a URL."""
        found = dict(self.api)
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
            (VALUES.get(flag) or BOOLEANS[flag])(found, value)
        except ValueError as error:
            raise BadOption(option=flag, reason=printable(str(error), 300)) from None
    return found


Apply = Callable[[BuildOptions, str], None]


def _argument(found: BuildOptions, text: str) -> None:
    name, value = values.pair(text)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"{name!r} is not a name of a build argument")
    found.arguments[name] = value


def _label(found: BuildOptions, text: str) -> None:
    found.labels.update([values.label(text)])


def _value(key: str, read: Callable[[str], Any] = values.some) -> Apply:
    """One value."""

    def apply(found: BuildOptions, text: str) -> None:
        found.api[key] = read(text)

    return apply


def _cache_from(found: BuildOptions, text: str) -> None:
    found.api.setdefault("cachefrom", []).append(values.some(text))


def _add_host(found: BuildOptions, text: str) -> None:
    name, _, address = values.host_entry(text).partition(":")
    found.api.setdefault("extrahosts", {})[name] = address


def _secret(found: BuildOptions, text: str) -> None:
    fields = dict(values.pair(item) for item in text.split(","))
    path = fields.get("src") or fields.get("source", "")
    if "id" not in fields or not path.startswith("/"):
        raise ValueError(f"{text!r} is not id=NAME,src=/PATH")
    found.secrets[fields["id"]] = path


VALUES: dict[str, Apply] = {
    "--add-host": _add_host,
    "--build-arg": _argument,
    "--cache-from": _cache_from,
    "--cpu-shares": _value("cpushares", values.integer(0)),
    "--cpuset-cpus": _value("cpusetcpus"),
    "--label": _label,
    "--memory": _value("memory", values.size),
    "--memory-swap": _value("memswap", values.size_or_unlimited),
    "--network": _value("networkmode"),
    "--platform": _value("platform"),
    "--secret": _secret,
    "--shm-size": _value("shmsize", values.size),
    "--target": _value("target"),
}
BOOLEANS: dict[str, Apply] = {"--no-cache": _value("nocache", values.boolean), "--pull": _value("pull", values.boolean)}
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
