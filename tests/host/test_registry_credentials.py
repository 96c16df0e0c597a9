"""Deploys from a private registry: credentials that are right, wrong, missing, expired, unset."""

from __future__ import annotations

import json
from collections.abc import Iterator

import docker
import pytest
from support.doors import Door
from support.registry import Registry, bridge_address, running_registry
from support.server import Paas, Result

USER, PASSWORD = "ci", "correct-horse"
STDIN = ("--private-registry-username", USER, "--private-registry-password", "-")
EMPTY = ("--private-registry-username", "''", "--private-registry-password", "''")


@pytest.fixture(scope="module")
def image(registry: Registry, image_names: dict[str, str]) -> str:
    registry.put("team/app", "1", "FROM paas-test/web\nENV GREETING=Private\n")
    return registry.name("team/app", "1")


@pytest.fixture(scope="module")
def public(engine: docker.DockerClient, image_names: dict[str, str]) -> Iterator[str]:
    """An image in a registry that asks nobody who he is."""
    with running_registry(bridge_address(engine), {}) as registry:
        registry.put("open/app", "1", "FROM paas-test/web\nENV GREETING=Public\n")
        yield registry.name("open/app", "1")


@pytest.fixture(autouse=True)
def same_users(registry: Registry) -> None:
    registry.set_users({USER: PASSWORD})


def refused(result: Result, *parts: str) -> None:
    """One line on standard error, exit code 1."""
    assert result.code == 1
    [line] = result.err.splitlines()
    assert line.startswith(" !     ")
    for part in parts:
        assert part in line


def serves(paas: Paas, app: str, greeting: str) -> None:
    assert f"<h1>{greeting} from" in paas.http_get(app).body


def config(host: Door, app: str) -> dict[str, str]:
    values: dict[str, str] = json.loads(host.ssh("config:show", app, "--format", "json").ok())
    return values


def test_right_credentials_are_kept(paas: Paas, host: Door, registry: Registry, image: str) -> None:
    host.ssh("apps:create", "right").ok()
    said = host.ssh("deploy", "--app", "right", "--docker-image", image, *STDIN, input=f"{PASSWORD}\n").ok()
    assert said.splitlines()[:2] == ["-----> Deploying right...", f"-----> Pulling {image}"]
    assert "=====> Application deployed:" in said
    serves(paas, "right", "Private")
    # Long-lived ones are given once.
    host.ssh("deploy", "--app", "right").ok()
    assert config(host, "right") == {
        "APTIBLE_DOCKER_IMAGE": image,
        "APTIBLE_PRIVATE_REGISTRY_PASSWORD": "********",
        "APTIBLE_PRIVATE_REGISTRY_USERNAME": USER,
    }
    # New ones come with any deploy, as short-lived ones have to.
    registry.set_users({USER: "fresh"})
    host.ssh("deploy", "--app", "right", *STDIN, input="fresh").ok()


def test_a_password_as_an_argument(paas: Paas, host: Door, image: str) -> None:
    host.ssh("apps:create", "argument").ok()
    words = ("--private-registry-username", USER, "--private-registry-password", PASSWORD)
    host.ssh(
        "deploy", "--app", "argument", "--docker-image", image, *words, "--private-registry-email", "a@b.c"
    ).ok()
    serves(paas, "argument", "Private")


def test_wrong_credentials(paas: Paas, host: Door, registry: Registry, image: str) -> None:
    host.ssh("apps:create", "wrong").ok()
    result = host.ssh("deploy", "--app", "wrong", "--docker-image", image, *STDIN, input="not-it")
    refused(
        result,
        f"Failed to pull image: {image}. The registry {registry.host} refused the user {USER}:"
        " wrong or expired credentials, or no right to it. Nothing was changed. Give fresh ones:"
        " registry:login, or deploy --private-registry-username USER --private-registry-password -",
    )
    assert "not-it" not in result.out + result.err
    # Neither the image nor the credentials were stored.
    assert config(host, "wrong") == {}
    refused(host.ssh("deploy", "--app", "wrong"), "You need to deploy either from git or a Docker image")


def test_missing_credentials(host: Door, registry: Registry, image: str) -> None:
    host.ssh("apps:create", "missing").ok()
    refused(
        host.ssh("deploy", "--app", "missing", "--docker-image", image),
        f"Failed to pull image: {image}. The registry {registry.host} has no such image, or wants credentials for it."
        " Nothing was changed. Check the name; for a private image log in with registry:login, or set a username and"
        " password with deploy or config:set",
    )
    refused(
        host.ssh("deploy", "--app", "missing", "--docker-image", image, "--private-registry-username", USER),
        "The private registry's username is set without its password. Nothing was changed. Give both",
    )
    refused(
        host.ssh(
            "deploy",
            "--app",
            "missing",
            "--docker-image",
            image,
            "--private-registry-password",
            "-",
            input="x",
        ),
        "The private registry's password is set without its username. Nothing was changed. Give both",
    )
    assert config(host, "missing") == {}


def test_expired_credentials_leave_everything_as_it_was(
    paas: Paas, host: Door, registry: Registry, image: str
) -> None:
    host.ssh("apps:create", "expired").ok()
    host.ssh("deploy", "--app", "expired", "--docker-image", image, *STDIN, "KEPT=1", input=PASSWORD).ok()
    before = config(host, "expired")
    registry.set_users({USER: "changed"})
    expired = f"refused the user {USER}: wrong or expired credentials"
    refused(host.ssh("deploy", "--app", "expired", "KEPT=2", "NEW=3"), expired)
    refused(host.ssh("rebuild", "--app", "expired"), expired)
    assert config(host, "expired") == before
    serves(paas, "expired", "Private")
    host.ssh("deploy", "--app", "expired", *STDIN, "KEPT=2", input="changed").ok()
    assert config(host, "expired") == before | {"KEPT": "2"}


def test_public_images_are_pulled_without(paas: Paas, host: Door, public: str) -> None:
    host.ssh("apps:create", "public").ok()
    host.ssh("deploy", "--app", "public", "--docker-image", public).ok()
    serves(paas, "public", "Public")


def test_empty_values_unset(paas: Paas, host: Door, image: str, public: str) -> None:
    host.ssh("apps:create", "unset").ok()
    host.ssh("deploy", "--app", "unset", "--docker-image", image, *STDIN, input=PASSWORD).ok()
    # One alone would leave half a pair.
    refused(
        host.ssh("deploy", "--app", "unset", "--private-registry-username", "''"),
        "The private registry's password is set without its username. Nothing was changed",
    )
    host.ssh("deploy", "--app", "unset", "--docker-image", public, *EMPTY).ok()
    serves(paas, "unset", "Public")
    assert config(host, "unset") == {"APTIBLE_DOCKER_IMAGE": public}
    refused(host.ssh("deploy", "--app", "unset", "--docker-image", image), "wants credentials for it")


def test_config_set_before_the_first_deploy(paas: Paas, host: Door, image: str) -> None:
    host.ssh("apps:create", "configured").ok()
    said = host.ssh(
        "config:set", "--app", "configured", f"APTIBLE_DOCKER_IMAGE={image}", "APTIBLE_PRIVATE_REGISTRY_EMAIL=a@b.c",
        f"APTIBLE_PRIVATE_REGISTRY_USERNAME={USER}", f"APTIBLE_PRIVATE_REGISTRY_PASSWORD={PASSWORD}",
    ).ok()  # fmt: skip
    assert "APTIBLE_PRIVATE_REGISTRY_PASSWORD:  ********" in said
    assert PASSWORD not in said
    host.ssh("rebuild", "--app", "configured").ok()
    serves(paas, "configured", "Private")


def test_dokkus_deploy_uses_them_too(paas: Paas, host: Door, image: str) -> None:
    host.ssh("apps:create", "dokku").ok()
    host.ssh(
        "config:set",
        "dokku",
        f"APTIBLE_PRIVATE_REGISTRY_USERNAME={USER}",
        f"APTIBLE_PRIVATE_REGISTRY_PASSWORD={PASSWORD}",
    ).ok()
    assert "-----> Force pulling image" in host.ssh("git:from-image", "--force", "dokku", image).ok()
    serves(paas, "dokku", "Private")


def test_the_platforms_own_variables_stay_outside_of_containers(host: Door, image: str) -> None:
    host.ssh("apps:create", "inside").ok()
    host.ssh("deploy", "--app", "inside", "--docker-image", image, *STDIN, "SEEN=1", input=PASSWORD).ok()
    seen = host.ssh("run", "inside", "/bin/busybox", "env").ok()
    assert "SEEN=1\n" in seen
    assert "PRIVATE_REGISTRY" not in seen
