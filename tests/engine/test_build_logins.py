"""A private FROM: each builder gets the login, and only from us."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import APIClient
from support.registry import Registry, running_registry

from paas.console import Console
from paas.engine.build import BaseRefused, BuildRequest, build, build_classic
from paas.engine.context import FolderContext
from paas.engine.images import Images
from paas.settings import Settings

RIGHT, WRONG = "correct-horse", "not-it"


@pytest.fixture(scope="module")
def private(settings: Settings) -> Iterator[Registry]:
    with running_registry("127.0.0.1", {"ci": RIGHT}, tls=False) as registry:
        yield registry


def auths(registry: Registry, password: str) -> dict[str, dict[str, str]]:
    return {registry.host: {"auth": base64.b64encode(f"ci:{password}".encode()).decode()}}


@pytest.mark.parametrize("way", ["buildkit", "classic"])
def test_a_private_base_needs_the_right_password(
    way: str, settings: Settings, api: APIClient, console: Console, busybox: str, private: Registry, tmp_path: Path
) -> None:
    private.put("base", way, f"FROM {busybox}\nLABEL one={uuid.uuid4().hex}\n")
    (tmp_path / "Dockerfile").write_text(f"FROM {private.name('base', way)}\nENV MADE=1\n")
    tag = f"paas-{settings.root_id}/private:{way}"

    def make(logins: dict[str, dict[str, str]]) -> None:
        request = BuildRequest(FolderContext(tmp_path), tag, {"paas.root": str(settings.root)}, auths=logins)
        if way == "classic":
            build_classic(api, request, console)
        else:
            build(settings, api, request, console)

    for logins in ({}, auths(private, WRONG), {"quay.io": auths(private, RIGHT)[private.host]}):
        with pytest.raises(BaseRefused) as caught:
            make(logins)
        assert RIGHT not in str(caught.value) and WRONG not in str(caught.value)
    make(auths(private, RIGHT))
    assert Images(api).find(tag) is not None
