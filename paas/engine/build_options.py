"""Words as `docker build` takes them, for both ways to build: a client with BuildKit, and the classic API."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from paas.engine import option_values as values
from paas.engine import options
from paas.engine.options import BadOption
from paas.model.names import printable

# Names that mean something to the client itself: such a build argument has to stand in the words.
_CLIENTS_OWN = re.compile(
    r"PATH|HOME|LANG|LC_.*|LD_.*|TMPDIR|DOCKER_.*|BUILDKIT.*|BUILDX.*|GO.*|.*_PROXY|.*_proxy|SSL_.*"
)


@dataclass
class BuildOptions:
    """What the words ask for. `arguments` are build arguments; `words` go to a client as they are; `api` are keyword
    arguments of the library's build; `limits` its container limits; `labels` the image's. `needs_buildkit` is a flag
    that the classic API does not know, empty where there is none."""

    arguments: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    api: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, int | str] = field(default_factory=dict)
    needs_buildkit: str = ""

    def client_words(self) -> list[str]:
        """The words for a client. Build arguments go through its environment where they can: words can be seen by
        everybody on the machine."""
        given = [
            f"--build-arg={name}={value}" if _CLIENTS_OWN.fullmatch(name) else f"--build-arg={name}"
            for name, value in self.arguments.items()
        ]
        return given + self.words

    def client_environment(self) -> dict[str, str]:
        return {name: value for name, value in self.arguments.items() if not _CLIENTS_OWN.fullmatch(name)}


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
    """One value; the client gets the word as it is."""

    def apply(found: BuildOptions, flag: str, text: str) -> None:
        (found.limits if limit else found.api)[key] = read(text)
        found.words.append(f"{flag}={text}")

    return apply


def _switch(key: str) -> Apply:
    def apply(found: BuildOptions, flag: str, text: str) -> None:
        found.api[key] = values.boolean(text)
        found.words.append(f"{flag}={text}")

    return apply


def _cache_from(found: BuildOptions, flag: str, text: str) -> None:
    found.api.setdefault("cache_from", []).append(values.some(text))
    found.words.append(f"{flag}={text}")


def _add_host(found: BuildOptions, flag: str, text: str) -> None:
    name, _, address = values.host_entry(text).partition(":")
    found.api.setdefault("extra_hosts", {})[name] = address
    found.words.append(f"{flag}={name}:{address}")


def _buildkit_only(found: BuildOptions, flag: str, text: str) -> None:
    found.words.append(f"{flag}={values.some(text)}")
    found.needs_buildkit = flag


def _secret(found: BuildOptions, flag: str, text: str) -> None:
    fields = dict(values.pair(item) for item in text.split(","))
    if "id" not in fields or not (fields.get("src") or fields.get("source", "")).startswith("/"):
        raise ValueError(f"{text!r} is not id=NAME,src=/PATH")
    _buildkit_only(found, flag, text)


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
