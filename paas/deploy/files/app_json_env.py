"""app.json's `env`: what it adds to the config of the release that it came with."""

from __future__ import annotations

import secrets

from paas.deploy.session import Session
from paas.errors import PaasError
from paas.model.release import Manifest
from paas.store.apps import App
from paas.store.config import Config
from paas.store.properties import GLOBAL

SECRET_BYTES = 32


class NoValue(PaasError):
    """required env var {name} has no value, no default, and no TTY for prompt. Nothing was deployed. Set it with config:set {app} {name}=VALUE, then deploy again"""


def with_env(session: Session, app: App, manifest: Manifest, config: dict[str, str]) -> dict[str, str]:
    """The config with what app.json sets: on the first deploy all that has no value yet, later only what is to be
    in step with it. Nothing is stored. Raises NoValue."""
    if not manifest.env:
        return config
    console = session.console
    console.step("Processing app.json env vars")
    everywhere = Config(session.database, GLOBAL).all() | config
    found: dict[str, str] = {}
    for item in manifest.env:
        if app.deployed and not item.sync:
            continue
        is_set = item.name in everywhere
        if item.value is not None and (item.sync or not is_set):
            found[item.name] = item.value
        elif not is_set and item.generate:
            found[item.name] = secrets.token_hex(SECRET_BYTES)
        elif not is_set and item.required:
            raise NoValue(name=item.name, app=app.name)
    if found:
        console.step(f"Setting {len(found)} env var(s) from app.json")
    else:
        console.detail("No env vars to set from app.json")
    return dict(sorted((config | found).items()))
