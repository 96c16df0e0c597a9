"""A registry's password, and config values, are nowhere but in the engine's hands: no process list, log, record, file,
container or image has them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import docker
import pytest
from support.doors import Door
from support.planted import Secrets, Watch, below, described
from support.registry import Registry, running_registry
from support.repo import Repo
from support.server import Paas

PASSWORD = "Zx9-unmistakable-pw"
VALUE = "Yw8-unmistakable-value"
TOKEN = base64.b64encode(f"ci:{PASSWORD}".encode()).decode()
SECRETS = Secrets({"password": PASSWORD, "token": TOKEN})
LOGIN = ("--private-registry-username", "ci", "--private-registry-password", "-")


def shown(host: Door, app: str) -> str:
    """Every answer that tells about an app's config or its past."""
    found = ""
    for words in (
        ("config", "--app", app),
        ("config", "--app", app, "--format", "json"),
        ("config:show", app),
        ("config:show", app, "--format", "json"),
        ("config:show", app, "--merged"),
        ("config:get", app, "APTIBLE_PRIVATE_REGISTRY_PASSWORD"),
        ("config:get", "--app", app, "APTIBLE_PRIVATE_REGISTRY_PASSWORD"),
        ("releases", app, "--format", "json"),
        ("operations", app),
        ("operations", app, "--format", "json"),
        ("services", "--app", app, "--format", "json"),
    ):
        found += host.ssh(*words).ok()
    for record in map(json.loads, host.ssh("operations", app, "--format", "json").ok().splitlines()):
        found += host.ssh("operation:logs", str(record["id"])).ok()
    return found


@pytest.fixture(scope="module")
def private(engine: docker.DockerClient, image_names: dict[str, str]) -> Iterator[Registry]:
    # On loopback and without TLS: the one kind of registry of one's own that BuildKit takes without being set up for it.
    with running_registry("127.0.0.1", {"ci": PASSWORD}, tls=False) as registry:
        registry.put("team/app", "1", "FROM paas-test/web\nENV GREETING=Secret\n")
        registry.put("team/base", "1", "FROM paas-test/shell\nENV GREETING=Base\n")
        registry.put("team/broken", "1", 'FROM paas-test/web\nCMD ["/bin/busybox", "false"]\n')
        yield registry


def test_a_deploy_of_an_image_leaves_no_password(
    paas: Paas, door: Door, engine: docker.DockerClient, private: Registry
) -> None:
    app = f"image-{door.name}"
    door.ssh("apps:create", app).ok()
    image = private.name("team/app", "1")
    said = ""
    with Watch(SECRETS) as watch:
        for words in (
            ("--docker-image", image, *LOGIN, f"KEY={VALUE}"),
            ("--docker-image", private.name("team/broken", "1"), *LOGIN),
            ("--docker-image", private.name("team/none", "1"), *LOGIN),
            ("--docker-image", image, *LOGIN, "lost"),
            ("--docker-image", image, *LOGIN),
        ):
            result = door.ssh("deploy", "--app", app, *words, input=f"{PASSWORD}\n")
            said += result.out + result.err
        for words in (
            ("restart", "--app", app),
            ("rebuild", "--app", app),
            ("config:set", app, "A=1"),
        ):
            said += door.ssh(*words).ok()
    assert said.count("=====> Application deployed:") == 4
    assert watch.found == set()
    assert any(b"docker-image" in line for line in watch.seen), "nothing of the deploys was seen"
    assert PASSWORD not in said
    assert PASSWORD not in shown(door, app)
    assert below(paas.root, PASSWORD, TOKEN) == []
    assert PASSWORD not in paas.log.read_text()
    told = described(engine, paas)
    assert PASSWORD not in told
    assert TOKEN not in told
    assert "PRIVATE_REGISTRY" not in told
    assert f"KEY={VALUE}" in told, "the app's own config is in its containers"


def test_a_build_leaves_neither_password_nor_config(
    paas: Paas, host: Door, engine: docker.DockerClient, private: Registry, repo: Repo
) -> None:
    host.ssh("apps:create", "built").ok()
    host.ssh("config:set", "--app", "built", *(f"APTIBLE_PRIVATE_REGISTRY_{key}" for key in (
        "USERNAME=ci", f"PASSWORD={PASSWORD}")), f"KEY={VALUE}").ok()  # fmt: skip
    repo.write({
        "Dockerfile": f"FROM {private.name('team/base', '1')}\nCOPY . /app\n"
        "RUN . /app/.aptible.env && echo length of KEY: ${#KEY} && ! grep REGISTRY /app/.aptible.env && rm /app/.aptible.env\n"
    })  # fmt: skip
    repo.commit()
    with Watch(SECRETS) as watch:
        result = repo.push(host.remote("built"), "main", host.git_env())
    assert result.code == 0, result.err
    assert f"length of KEY: {len(VALUE)}" in result.err
    assert watch.found == set()
    assert any(b"git-receive-pack" in line for line in watch.seen), "nothing of the push was seen"
    assert PASSWORD not in result.err
    assert PASSWORD not in shown(host, "built")
    assert below(paas.root, PASSWORD, TOKEN) == []
    assert below(paas.root, VALUE) == [], "config values are encrypted at rest"
    told = described(engine, paas)
    assert PASSWORD not in told
    assert TOKEN not in told
