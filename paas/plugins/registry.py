"""Which plugins there are: those that came with paas, and those that an operator installed below PAAS_ROOT.

``plugins.json`` is the truth. It is replaced as a whole, so that whoever reads it sees all of a change or nothing, and
a look at the file's own data tells whether anything changed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from paas import __version__
from paas.errors import PaasError
from paas.settings import Settings
from paas.store.locks import held

SHIPPED = Path(__file__).parent.parent.parent / "plugins"
MANIFEST = "plugin.toml"
NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,31}")
MAX_MANIFEST_BYTES = 65536
LOCK = "plugins.lock"
NOTHING = (0, 0, 0)

Stamp = tuple[int, int, int]


class NotAPlugin(PaasError):
    """{folder} is no plugin: {reason}. Nothing was changed. docs/plugins.md shows what one looks like"""


class RegistryUnreadable(PaasError):
    """{path} can't be read ({reason}). Nothing was changed. Mend it, or remove it and install the plugins again"""


@dataclass(frozen=True)
class Manifest:
    """What plugin.toml declares."""

    name: str
    version: str
    description: str


@dataclass(frozen=True)
class Installed:
    """One plugin of the operator's. `number` names its copy, `source` is where it came from (a folder or a URL),
    `committish` what of a repository was asked for, `commit` what that was."""

    number: int
    source: str
    committish: str = ""
    commit: str = ""


@dataclass(frozen=True)
class Plugin:
    """A plugin that could be loaded."""

    manifest: Manifest
    folder: Path
    enabled: bool
    installed: Installed | None = None

    @property
    def name(self) -> str:
        return self.manifest.name


@dataclass(frozen=True)
class Registry:
    """The content of plugins.json."""

    installed: dict[str, Installed] = field(default_factory=dict)
    disabled: frozenset[str] = frozenset()


def path(settings: Settings) -> Path:
    return settings.root / "plugins.json"


def folder(settings: Settings, name: str) -> Path:
    """Where the copies of an installed plugin are."""
    return settings.root / "plugins" / name


def stamp(settings: Settings) -> Stamp:
    """Differs after every change."""
    try:
        found = os.stat(path(settings))  # noqa: PTH116 - a look before every command
    except OSError:
        return NOTHING
    return found.st_ino, found.st_mtime_ns, found.st_size


def read(settings: Settings) -> Registry:
    """Raises RegistryUnreadable."""
    try:
        found = json.loads(path(settings).read_text())
        return Registry(
            {name: Installed(**item) for name, item in found["installed"].items()},
            frozenset(found["disabled"]),
        )
    except FileNotFoundError:
        return Registry()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RegistryUnreadable(path=path(settings), reason=type(error).__name__) from None


def write(settings: Settings, registry: Registry) -> None:
    """Replace it; inside of `changing`."""
    draft = path(settings).with_name(f".plugins.json.{os.getpid()}")
    found = {
        "installed": {name: vars(item) for name, item in sorted(registry.installed.items())},
        "disabled": sorted(registry.disabled),
    }
    try:
        with draft.open("w") as file:
            file.write(json.dumps(found, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path(settings))
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def changing(settings: Settings) -> Iterator[None]:
    """Be the only one who changes something about plugins."""
    with held(settings.locks_dir / LOCK):
        yield


def manifest(where: Path) -> Manifest:
    """What the folder's plugin.toml says. Raises NotAPlugin."""
    try:
        with (where / MANIFEST).open("rb") as file:
            found = tomllib.loads(file.read(MAX_MANIFEST_BYTES).decode())["plugin"]
        texts = [found["name"], found["version"], found.get("description", "")]
    except FileNotFoundError:
        raise NotAPlugin(folder=where, reason=f"it has no {MANIFEST}") from None
    except OSError as error:
        raise NotAPlugin(folder=where, reason=f"its {MANIFEST} can't be read ({error.strerror})") from None
    except KeyError as error:
        raise NotAPlugin(folder=where, reason=f"its {MANIFEST} has no {error.args[0]}") from None
    except (ValueError, TypeError, AttributeError):
        raise NotAPlugin(folder=where, reason=f"its {MANIFEST} is not the TOML that it should be") from None
    for text, allowed, word in zip(
        texts, (NAME, VERSION, re.compile(r".{0,200}")), ("name", "version", "description"), strict=True
    ):
        if not isinstance(text, str) or not allowed.fullmatch(text) or not text.isprintable():
            raise NotAPlugin(folder=where, reason=f"the {word} in its {MANIFEST} is none")
    if not (where / "__init__.py").is_file():
        raise NotAPlugin(
            folder=where, reason="it has no __init__.py (Dokku's own plugins are programs for its shell)"
        )
    return Manifest(*texts)


def plugins(settings: Settings | None) -> list[Plugin]:
    """All of them, by name; without `settings` those that came with paas. What is damaged has an empty version."""
    known = read(settings) if settings else Registry()
    found = []
    for where in sorted(SHIPPED.glob("*/")) if SHIPPED.is_dir() else []:
        if (where / MANIFEST).is_file():
            item = manifest(where)
            found.append(Plugin(item, where, item.name not in known.disabled))
    shipped = {item.name for item in found}
    for name, installed in known.installed.items():
        if settings is None or name in shipped:
            continue
        where = folder(settings, name) / str(installed.number)
        try:
            item = Manifest(name, *list(vars(manifest(where)).values())[1:])
        except NotAPlugin:
            item = Manifest(name, "", "")
        found.append(Plugin(item, where, name not in known.disabled, installed))
    return sorted(found, key=lambda plugin: plugin.name)


def version(plugin: Plugin) -> str:
    """Plugins that came with paas have its version."""
    return plugin.manifest.version if plugin.installed else __version__
