"""Loads the enabled plugins, and loads them again in a process that notices a change.

Every process that asks plugins something looks first whether they are still the same (one stat): a deploy that began
before a plugin was enabled routes with it all the same. Each copy of a plugin is a module of its own, so what has been
loaded and did not change stays.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import pluggy

from paas.errors import PaasError
from paas.model.names import printable
from paas.plugins import PROJECT, registry, specs
from paas.plugins.registry import Plugin, Stamp
from paas.settings import Settings

PREFIX = "paas_plugin_"
MAX_REASON = 200


class PluginFailed(PaasError):
    """The plugin {plugin} failed ({reason}). What it was asked about stays as it was. Mend it, or do without it: plugin:disable {plugin}"""


@dataclass(frozen=True)
class Loaded:
    """The plugins of one installation in this process; `broken` has the reasons by name."""

    root: Path | None = None
    stamp: Stamp = registry.NOTHING
    manager: pluggy.PluginManager = field(default_factory=lambda: pluggy.PluginManager(PROJECT))
    broken: dict[str, str] = field(default_factory=dict)


_lock = threading.RLock()
_modules: dict[Path, ModuleType] = {}
_loaded: Loaded | None = None


def current(settings: Settings | None) -> Loaded:
    """The enabled plugins of an installation; without `settings` all of those that came with paas."""
    global _loaded
    root = settings.root if settings else None
    stamp = registry.stamp(settings) if settings else registry.NOTHING
    found = _loaded
    if found is not None and found.root == root and found.stamp == stamp:
        return found
    with _lock:
        _loaded = _load(settings, root, stamp)
        return _loaded


def last() -> Loaded:
    """What was loaded last, without a look at what changed."""
    return _loaded or current(None)


def call(settings: Settings, hook: str, /, **arguments: Any) -> list[Any]:
    """What each plugin answers to a hook, by the plugin's name. Raises PluginFailed, and PaasErrors of plugins."""
    return call_in(current(settings), hook, **arguments)


def call_in(loaded: Loaded, hook: str, /, **arguments: Any) -> list[Any]:
    """The same of plugins that are loaded."""
    try:
        return list(getattr(loaded.manager.hook, hook)(**arguments))
    except PaasError:
        raise
    except Exception as error:
        raise PluginFailed(plugin=_guilty(error.__traceback__), reason=reason(error)) from error


def reason(error: BaseException) -> str:
    """An exception for one line."""
    text = " ".join(str(error).split())
    return printable(f"{type(error).__name__}: {text}" if text else type(error).__name__, MAX_REASON)


def _guilty(trace: TracebackType | None) -> str:
    """The plugin that an exception passed through."""
    found = "without a name"
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__paas_plugin__", ""))
        found = name or found
        trace = trace.tb_next
    return found


def _load(settings: Settings | None, root: Path | None, stamp: Stamp) -> Loaded:
    loaded = Loaded(root, stamp)
    loaded.manager.add_hookspecs(specs)
    try:
        wanted = [plugin for plugin in registry.plugins(settings) if plugin.enabled]
    except PaasError as error:
        loaded.broken["plugins.json"] = str(error)
        wanted = [plugin for plugin in registry.plugins(None) if plugin.enabled]
    # pluggy asks the one that came last first.
    for plugin in reversed(wanted):
        try:
            register(loaded.manager, plugin)
        except (Exception, SystemExit) as error:
            loaded.broken[plugin.name] = str(error) if isinstance(error, PaasError) else reason(error)
    return loaded


def register(manager: pluggy.PluginManager, plugin: Plugin) -> None:
    """Import a plugin and check its hooks. Raises whatever the plugin's code raises, and pluggy's errors."""
    module = _module(plugin)
    manager.register(module, plugin.name)
    try:
        for caller in manager.get_hookcallers(module) or ():
            if not caller.has_spec():
                raise PaasError(f"there is no hook {printable(caller.name)}")
    except BaseException:
        manager.unregister(module)
        raise


def _module(plugin: Plugin) -> ModuleType:
    found = _modules.get(plugin.folder)
    if found is not None:
        return found
    # Not the same name for two copies: what still runs in an older one must not find itself in the newer.
    name = f"{PREFIX}{plugin.name.replace('-', '_')}_{len(_modules)}"
    spec = importlib.util.spec_from_file_location(
        name, plugin.folder / "__init__.py", submodule_search_locations=[str(plugin.folder)]
    )
    if spec is None or spec.loader is None:
        raise PaasError("it has no __init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        for item in [item for item in sys.modules if item == name or item.startswith(f"{name}.")]:
            del sys.modules[item]
        raise
    for item, part in list(sys.modules.items()):
        if item == name or item.startswith(f"{name}."):
            vars(part)["__paas_plugin__"] = plugin.name
    _modules[plugin.folder] = module
    return module
