"""Dockerfiles whose FROM is private: built with the app's credentials."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.doors import Door
from support.registry import Registry, running_registry
from support.repo import Repo
from support.server import Paas

PASSWORD = "correct-horse"
LOGIN = ("APTIBLE_PRIVATE_REGISTRY_USERNAME=ci", f"APTIBLE_PRIVATE_REGISTRY_PASSWORD={PASSWORD}")


@pytest.fixture(scope="module")
def private(image_names: dict[str, str]) -> Iterator[Registry]:
    # On loopback and without TLS: the one kind of registry of one's own that BuildKit takes without being set up for it.
    with running_registry("127.0.0.1", {"ci": PASSWORD}, tls=False) as registry:
        yield registry


@pytest.fixture
def app(host: Door, request: pytest.FixtureRequest) -> str:
    name: str = request.node.name.replace("_", "-")[5:40]
    host.ssh("apps:create", name).ok()
    return name


def dockerfile(private: Registry, app: str) -> str:
    """One with a private FROM of its own, so that no test finds what another one has pulled."""
    private.put(f"base/{app}", "1", "FROM paas-test/web\nENV GREETING=Extended\n")
    return f"FROM {private.name(f'base/{app}', '1')}\nENV EXTENDED=1\n"


def refused_base(output: str) -> None:
    """One line says what is wrong and what to do."""
    [line] = [line for line in output.splitlines() if line.startswith("remote:  !     ")]
    start, _, rest = line.partition(" (")
    assert start == "remote:  !     App build failed: an image of the Dockerfile's FROM lines can't be pulled"
    assert rest.partition("). ")[2].rstrip() == (
        "Its registry wants credentials, or refused those that are set. The release that served before still does. Log in"
        " with registry:login, or set APTIBLE_PRIVATE_REGISTRY_USERNAME and APTIBLE_PRIVATE_REGISTRY_PASSWORD with config:set, then deploy again"
    )


def test_built_with_credentials(
    app: str, paas: Paas, host: Door, private: Registry, repo: Repo
) -> None:
    repo.write({"Dockerfile": dockerfile(private, app)})
    repo.commit()
    host.ssh("config:set", "--app", app, *LOGIN).ok()
    result = repo.push(host.remote(app), "main:master", host.git_env())
    assert result.code == 0, result.err
    assert "Extended from" in paas.http_get(app).body


def test_refused_without_credentials(
    app: str, host: Door, private: Registry, repo: Repo
) -> None:
    repo.write({"Dockerfile": dockerfile(private, app)})
    repo.commit()
    result = repo.push(host.remote(app), "main:master", host.git_env())
    assert result.code == 1
    refused_base(result.err)
    assert host.ssh("ps:report", app, "--deployed").ok() == "false\n"


def test_refused_with_wrong_credentials(
    app: str, host: Door, private: Registry, repo: Repo
) -> None:
    repo.write({"Dockerfile": dockerfile(private, app)})
    repo.commit()
    host.ssh("config:set", "--app", app, LOGIN[0], "APTIBLE_PRIVATE_REGISTRY_PASSWORD=not-it").ok()
    result = repo.push(host.remote(app), "main:master", host.git_env())
    assert result.code == 1
    refused_base(result.err)
    assert "not-it" not in result.err


def test_a_bare_private_from(
    app: str, paas: Paas, host: Door, private: Registry, repo: Repo
) -> None:
    """Nothing is built there, the image is pulled."""
    repo.write({"Dockerfile": dockerfile(private, app).splitlines()[0] + "\n"})
    repo.commit()
    refused = repo.push(host.remote(app), "main:master", host.git_env())
    assert refused.code == 1
    assert f"The registry {private.host} has no such image, or wants credentials for it" in refused.err
    host.ssh("config:set", "--app", app, *LOGIN).ok()
    assert repo.push(host.remote(app), "main:master", host.git_env()).code == 0
    assert "Extended from" in paas.http_get(app).body


def test_a_host_that_is_set_alone_is_told_the_password(
    app: str, host: Door, private: Registry, repo: Repo
) -> None:
    repo.write({"Dockerfile": dockerfile(private, app)})
    repo.commit()
    host.ssh("config:set", "--app", app, *LOGIN, "APTIBLE_PRIVATE_REGISTRY_HOST=quay.io").ok()
    refused_base(repo.push(host.remote(app), "main:master", host.git_env()).err)
    host.ssh("config:set", "--app", app, f"APTIBLE_PRIVATE_REGISTRY_HOST={private.host}").ok()
    assert repo.push(host.remote(app), "main:master", host.git_env()).code == 0


def test_deploy_of_a_reference_with_fresh_credentials(
    app: str, paas: Paas, host: Door, private: Registry, repo: Repo
) -> None:
    repo.write({"Dockerfile": dockerfile(private, app)})
    repo.commit()
    repo.push(host.remote(app), "main:deploy-1", host.git_env())
    words = ("--private-registry-username", "ci", "--private-registry-password", "-")
    host.ssh("deploy", "--app", app, "--git-commitish", "deploy-1", *words, input=PASSWORD).ok()
    assert "Extended from" in paas.http_get(app).body
