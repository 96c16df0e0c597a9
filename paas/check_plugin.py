"""`python -m paas.check_plugin FOLDER NAME`: try a plugin in a process of its own, before anybody relies on it.

Exit code 0 when it can be loaded beside all others, else 1 and the reason on standard error.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from pathlib import Path

import pluggy

from paas import cli
from paas.errors import PaasError
from paas.plugins import PROJECT, loading, registry, specs
from paas.settings import Settings


def check(folder: Path, name: str) -> None:
    """Raises PaasError, and whatever the plugin's own code raises."""
    manifest = dataclasses.replace(registry.manifest(folder), name=name)
    found = registry.Plugin(manifest, folder, True)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(specs)
    with contextlib.redirect_stdout(sys.stderr):
        loading.register(manager, found)
        settings = Settings.from_environment()
        # Itself, when it is an update, is no reason against it.
        others = [item for item in registry.plugins(settings) if item.enabled and item.name != name]
        cli.refresh(settings)
        taken = set(cli.own_groups())
        for other in others:
            module = loading.last().manager.get_plugin(other.name)
            if module is not None:
                with contextlib.suppress(Exception):
                    taken |= set(cli.plugin_groups(module, ()))
        cli.plugin_groups(manager.get_plugin(name), taken)


def main(words: list[str]) -> int:
    try:
        check(Path(words[0]), words[1])
    except PaasError as error:
        sys.stderr.write(f"{error}\n")
    except (Exception, SystemExit) as error:
        sys.stderr.write(f"{loading.reason(error)}\n")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
