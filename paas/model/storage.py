"""Storage: named places of the host, and how an app mounts them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import Any

from paas.errors import PaasError
from paas.model.names import printable

DEPLOY = "deploy"
RUN = "run"
PHASES = (DEPLOY, RUN)
EVERY_TYPE = "_default_"
SCHEDULER = "docker-local"
LEGACY = "legacy-"
SCHEMA_VERSION = 1
OWNERS = {"herokuish": 32767, "heroku": 1000, "packeto": 2000, "paketo": 2000, "root": 0}
HIGHEST_ID = 2**31 - 1
SPREADS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
MOUNT_OPTIONS = frozenset({"ro", "rw", "z", "Z", "nocopy", "cached", "delegated", "consistent", *SPREADS})

_VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_ENTRY = re.compile(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?")
_DIRECTORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_MODE = re.compile(r"0?[0-7]{3}")


class InvalidMount(PaasError):
    """Storage path must be two valid paths divided by colon."""


class InvalidVolume(PaasError):
    """Volume name must be two characters or more. Use letters, digits, dots, dashes and underscores, or an absolute path of the host"""


class InvalidPath(PaasError):
    """Invalid path: {path}. Give an absolute path without a colon, a control character or a part '..'. Nothing was changed"""


class InvalidSubpath(PaasError):
    """Invalid path below the entry: {path}. Give a relative path without a colon or a part '..'. Nothing was changed"""


class InvalidMountOptions(PaasError):
    """Invalid volume options: {given}. Known are {known}, with commas between them. Nothing was changed"""


class InvalidPhase(PaasError):
    """Invalid phase: {given}. Give deploy or run. Nothing was changed"""


class InvalidEntryName(PaasError):
    """Invalid name of a storage entry: {name}. Use lowercase letters, digits and inner dashes, 45 at the most, not beginning with legacy-"""


class InvalidDirectory(PaasError):
    """Directory can only contain the following set of characters: [A-Za-z0-9_-]"""


class InvalidOwner(PaasError):
    """Unsupported chown permissions. Give herokuish, heroku, paketo, root, false or a numeric id. Nothing was changed"""


class InvalidMode(PaasError):
    """Invalid mode: {given}. Give three octal digits, for example 0755. Nothing was changed"""


@dataclass(frozen=True)
class Entry:
    """A place of the host under a name. `host_path` is absolute, or the name of one of Docker's volumes.

    `chown` (a word of OWNERS or a number) and `mode` (octal digits) are what was asked for, empty where nothing was.
    """

    name: str
    host_path: str
    chown: str = ""
    mode: str = ""

    @property
    def is_volume(self) -> bool:
        return not self.host_path.startswith("/")

    def document(self) -> dict[str, Any]:
        """As ``storage:info --format json`` shows it."""
        found: dict[str, Any] = {"name": self.name, "scheduler": SCHEDULER, "host_path": self.host_path}
        found |= {key: value for key in ("chown", "mode") if (value := getattr(self, key))}
        return found | {"schema_version": SCHEMA_VERSION}


@dataclass(frozen=True)
class Attachment:
    """One mount of an app: which entry, where it is on the host and in the container, when, and how.

    `process_type` EVERY_TYPE means all; `subpath` is a folder below the entry's.
    """

    entry_name: str
    host_path: str
    container_path: str
    phases: tuple[str, ...] = PHASES
    process_type: str = EVERY_TYPE
    subpath: str = ""
    readonly: bool = False
    volume_options: str = ""
    volume_chown: str = ""

    @classmethod
    def parse(cls, text: str) -> Attachment:
        """Read ``HOST:CONTAINER[:OPTIONS]``. Raises InvalidMount, InvalidVolume, InvalidPath, InvalidMountOptions."""
        host, *rest = text.split(":")
        if len(rest) not in (1, 2) or not rest[0].startswith("/"):
            raise InvalidMount()
        host = path(host) if host.startswith("/") else volume(host)
        options = mount_options(rest[1]) if len(rest) == 2 else ()
        return cls(
            legacy_name(host),
            host,
            container_path(rest[0]),
            readonly="ro" in options,
            volume_options=",".join(word for word in options if word != "ro"),
        )

    @property
    def key(self) -> tuple[str, str, str]:
        """What there is only one of in an app."""
        return self.entry_name, self.container_path, self.process_type

    @property
    def source(self) -> str:
        return f"{self.host_path.rstrip('/')}/{self.subpath}" if self.subpath else self.host_path

    @property
    def mount(self) -> str:
        """What ``docker run -v`` takes."""
        options = ",".join(word for word in ("ro" if self.readonly else "", self.volume_options) if word)
        return f"{self.source}:{self.container_path}" + (f":{options}" if options else "")

    def dump(self) -> str:
        return json.dumps(vars(self), ensure_ascii=False)

    @classmethod
    def load(cls, text: str) -> Attachment:
        found = cls(**json.loads(text))
        return replace(found, phases=tuple(found.phases))

    def listed(self) -> dict[str, Any]:
        """As ``storage:list --format json`` shows it: what is not set is not there."""
        found: dict[str, Any] = {
            "entry_name": self.entry_name,
            "host_path": self.source,
            "container_path": self.container_path,
        }
        if self.readonly:
            found["readonly"] = True
        if self.volume_options:
            found["volume_options"] = self.volume_options
        return found


def legacy_name(host: str) -> str:
    """The entry that a mount without one gets: the same one for the same place, as in Dokku."""
    place = host if host.startswith("/") else f"vol:{host}"
    return LEGACY + hashlib.sha1(place.encode(), usedforsecurity=False).hexdigest()[:10]


def entry_name(text: str) -> str:
    """Raises InvalidEntryName."""
    if not _ENTRY.fullmatch(text) or text.startswith(LEGACY):
        raise InvalidEntryName(name=printable(text))
    return text


def directory(text: str) -> str:
    """The name of a folder right below the storage folder. Raises InvalidDirectory."""
    if not _DIRECTORY.fullmatch(text):
        raise InvalidDirectory()
    return text


def path(text: str) -> str:
    """An absolute path, without slashes at its end. Raises InvalidPath."""
    if not text.startswith("/") or not _clean(text):
        raise InvalidPath(path=printable(text))
    return text.rstrip("/") or "/"


def container_path(text: str) -> str:
    """As `path`, but not the root, on which nothing can be mounted."""
    found = path(text)
    if found == "/":
        raise InvalidPath(path=found)
    return found


def relative_path(text: str) -> str:
    """A path below another one, as it is joined to it. Raises InvalidSubpath."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith(("/", "-")) or not parts or not _clean(text):
        raise InvalidSubpath(path=printable(text))
    return "/".join(parts)


def _clean(text: str) -> bool:
    return text.isprintable() and ":" not in text and ".." not in text.split("/")


def volume(text: str) -> str:
    """The name of one of Docker's volumes. Raises InvalidVolume."""
    if not _VOLUME.fullmatch(text):
        raise InvalidVolume()
    return text


def host_path(text: str) -> str:
    """A path of the host or the name of a volume."""
    return path(text) if text.startswith("/") else volume(text)


def mount_options(text: str) -> tuple[str, ...]:
    """The words of ``ro,z``. Raises InvalidMountOptions."""
    words = tuple(text.split(","))
    if not MOUNT_OPTIONS.issuperset(words) or {"ro", "rw"} <= set(words):
        raise InvalidMountOptions(given=printable(text), known=", ".join(sorted(MOUNT_OPTIONS)))
    return words


def phases(given: list[str]) -> tuple[str, ...]:
    """Those asked for, in their order; all where none was. Raises InvalidPhase."""
    words = [word for text in given for word in text.split(",")]
    for word in words:
        if word not in PHASES:
            raise InvalidPhase(given=printable(word))
    return tuple(phase for phase in PHASES if phase in words) or PHASES


def owner(text: str) -> int | None:
    """The numeric id of a --chown, None for ``false``. Raises InvalidOwner."""
    if text == "false":
        return None
    if text in OWNERS:
        return OWNERS[text]
    if text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= HIGHEST_ID:
        return int(text)
    raise InvalidOwner()


def mode(text: str) -> int:
    """Raises InvalidMode."""
    if not _MODE.fullmatch(text):
        raise InvalidMode(given=printable(text))
    return int(text, 8)
