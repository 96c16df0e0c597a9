"""What plugins can do, and which there are: `hookimpl` marks a plugin's functions, docs/plugins.md explains each hook."""

from __future__ import annotations

import pluggy

PROJECT = "paas"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
