"""What a registry can do to a deploy: be away, break off, have another image under the same name, or none."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator

import docker
import pytest
from support.doors import Door
from support.registry import Registry, bridge_address, running_registry
from support.server import Paas, Result
from support.state import operations

PASSWORD = "correct-horse"
LOGIN = ("--private-registry-username", "ci", "--private-registry-password", "-")
# Stops without ever having listened.
BROKEN = (
    'FROM paas-test/web\nENV GREETING=Broken\nCMD ["/bin/busybox", "sh", "-c", "echo no database; exit 3"]\n'
)


@pytest.fixture(autouse=True)
def running(registry: Registry, image_names: dict[str, str]) -> Iterator[None]:
    """Every test finds the registry running."""
    if registry.process is None:
        registry.start()
    yield


Put = Callable[[str], str]


@pytest.fixture
def put(registry: Registry, request: pytest.FixtureRequest) -> Put:
    """`put("Hello")` pushes an image that greets so, always under the same name; returns its digest."""
    repository = request.node.name.replace("_", "-")
    return lambda greeting: registry.put(repository, "1", f"FROM paas-test/web\nENV GREETING={greeting}\n")


@pytest.fixture
def name(registry: Registry, request: pytest.FixtureRequest) -> str:
    """The name of the images that `put` pushes."""
    return registry.name(request.node.name.replace("_", "-"), "1")


def deploy(host: Door, app: str, *words: str) -> Result:
    return host.ssh("deploy", "--app", app, *words, *LOGIN, input=PASSWORD)


def refused(result: Result, line: str) -> None:
    assert (result.code, result.err) == (1, f" !     {line}\n")


def greeting(paas: Paas, app: str) -> str:
    return paas.http_get(app).body.partition("<h1>")[2].partition(" from")[0]


def test_same_name_other_image(paas: Paas, host: Door, put: Put, name: str) -> None:
    put("First")
    host.ssh("apps:create", "moved").ok()
    deploy(host, "moved", "--docker-image", name).ok()
    put("Second")
    # Nothing but a deploy asks the registry.
    host.ssh("restart", "--app", "moved").ok()
    assert greeting(paas, "moved") == "First"
    assert f"       {name} is another image now: " in host.ssh("deploy", "--app", "moved").ok()
    assert greeting(paas, "moved") == "Second"
    put("Third")
    host.ssh("rebuild", "--app", "moved").ok()
    assert greeting(paas, "moved") == "Third"
    put("Fourth")
    host.ssh("ps:rebuild", "moved").ok()
    assert greeting(paas, "moved") == "Fourth"


def test_a_digest_is_what_it_says(paas: Paas, host: Door, registry: Registry, put: Put, name: str) -> None:
    first = put("First")
    put("Second")
    host.ssh("apps:create", "digest").ok()
    repository = name.rpartition(":")[0]
    deploy(host, "digest", "--docker-image", f"{repository}@{first}").ok()
    assert greeting(paas, "digest") == "First"
    host.ssh("deploy", "--app", "digest").ok()
    assert greeting(paas, "digest") == "First"
    deploy(host, "digest", "--docker-image", f"{name}@{first}").ok()
    assert greeting(paas, "digest") == "First"
    unknown = f"{repository}@sha256:{'0' * 64}"
    refused(
        deploy(host, "digest", "--docker-image", unknown),
        f"Failed to pull image: {unknown}. The registry {registry.host} has no image {unknown}. Nothing was changed."
        " Check the name and the tag",
    )


def test_no_such_tag_and_no_such_image(host: Door, registry: Registry, put: Put, name: str) -> None:
    put("First")
    host.ssh("apps:create", "nothing").ok()
    for missing in (f"{name}2", registry.name("team/nope")):
        refused(
            deploy(host, "nothing", "--docker-image", missing),
            f"Failed to pull image: {missing}. The registry {registry.host} has no image {missing}. Nothing was changed."
            " Check the name and the tag",
        )
    assert host.ssh("config:keys", "nothing").ok() == ""


def test_a_release_needs_its_registry_no_more(
    paas: Paas, host: Door, registry: Registry, put: Put, name: str
) -> None:
    put("First")
    host.ssh("apps:create", "pinned").ok()
    deploy(host, "pinned", "--docker-image", name).ok()
    put("Second")
    host.ssh("deploy", "--app", "pinned").ok()
    registry.stop()
    host.ssh("restart", "--app", "pinned").ok()
    host.ssh("apps:scale", "cmd", "--app", "pinned", "--container-count", "2").ok()
    host.ssh("config:set", "--app", "pinned", "ADDED=1").ok()
    host.ssh("ps:restart", "pinned").ok()
    host.ssh("ps:stop", "pinned").ok()
    host.ssh("ps:start", "pinned").ok()
    assert greeting(paas, "pinned") == "Second"
    assert host.ssh("run", "pinned", "/bin/busybox", "sh", "-c", "'echo $GREETING'").ok() == "Second\n"
    host.ssh("releases:rollback", "pinned", "1").ok()
    assert greeting(paas, "pinned") == "First"
    unreachable = host.ssh("deploy", "--app", "pinned")
    assert unreachable.code == 1
    assert unreachable.err.startswith(
        f" !     Failed to pull image: {name}. The registry {registry.host} can't be reached ("
    )
    assert unreachable.err.endswith(
        "connection refused). Nothing was changed. Check the name and the network, or send the image with git:load-image\n"
    )
    assert greeting(paas, "pinned") == "First"


def test_a_deploy_to_none_pulls_and_scaling_up_does_not(
    paas: Paas, host: Door, registry: Registry, put: Put, name: str
) -> None:
    put("First")
    host.ssh("apps:create", "zero").ok()
    deploy(host, "zero", "--docker-image", name, "--container-count", "0").ok()
    registry.stop()
    assert paas.http_get("zero").status == 503
    host.ssh("apps:scale", "cmd", "--app", "zero", "--container-count", "1").ok()
    assert greeting(paas, "zero") == "First"


def test_no_such_host(host: Door) -> None:
    host.ssh("apps:create", "nowhere").ok()
    result = host.ssh("deploy", "--app", "nowhere", "--docker-image", "registry.invalid/team/app:1")
    assert result.code == 1
    assert result.err.startswith(
        " !     Failed to pull image: registry.invalid/team/app:1. The registry registry.invalid can't be reached ("
    )


def test_a_certificate_that_is_not_trusted(engine: docker.DockerClient, host: Door) -> None:
    host.ssh("apps:create", "untrusted").ok()
    with running_registry(bridge_address(engine), {"ci": PASSWORD}, trusted=False) as other:
        image = other.name("team/app")
        result = deploy(host, "untrusted", "--docker-image", image)
        assert result.code == 1
        assert (
            f"Failed to pull image: {image}. The certificate of the registry {other.host} is not trusted here"
            in result.err
        )
        assert (
            "x509: certificate signed by unknown authority). Nothing was changed. Put its CA's certificate into"
            f" /etc/docker/certs.d/{other.host}/ca.crt on the server\n"
        ) in result.err


def test_a_registry_without_tls(engine: docker.DockerClient, host: Door) -> None:
    host.ssh("apps:create", "plain").ok()
    with running_registry(bridge_address(engine), {"ci": PASSWORD}, tls=False) as other:
        image = other.name("team/app")
        refused(
            deploy(host, "plain", "--docker-image", image),
            f"Failed to pull image: {image}. The registry {other.host} does not speak TLS. Nothing was changed."
            " Give it a certificate, or list it in the engine's insecure-registries",
        )


def test_a_registry_that_dies_in_the_middle(
    paas: Paas, host: Door, registry: Registry, put: Put, name: str
) -> None:
    put("First")
    host.ssh("apps:create", "cut").ok()
    deploy(host, "cut", "--docker-image", name).ok()
    registry.put(
        "large",
        "1",
        "FROM paas-test/web\nENV GREETING=Large\nCOPY noise /\n",
        {"noise": os.urandom(8_000_000)},
    )
    large = registry.name("large", "1")
    registry.line.cut_after(2_000_000)
    # The engine itself tries five times, which takes it almost a minute.
    result = deploy(host, "cut", "--docker-image", large)
    assert registry.line.cut.is_set()
    assert result.code == 1
    assert result.err.startswith(f" !     Failed to pull image: {large}. The registry {registry.host} ")
    assert ". Nothing was changed. " in result.err
    assert greeting(paas, "cut") == "First"
    assert host.ssh("config:get", "cut", "APTIBLE_DOCKER_IMAGE").ok() == f"{name}\n"
    registry.stop()
    registry.start()
    deploy(host, "cut", "--docker-image", large).ok()
    assert greeting(paas, "cut") == "Large"


def test_a_registry_that_comes_back_in_time(paas: Paas, host: Door, registry: Registry) -> None:
    registry.put(
        "back", "1", "FROM paas-test/web\nENV GREETING=Back\nCOPY noise /\n", {"noise": os.urandom(8_000_000)}
    )
    host.ssh("apps:create", "back").ok()
    registry.line.cut_after(2_000_000)

    def revive() -> None:
        assert registry.line.cut.wait(60)
        registry.stop()
        registry.start()

    reviver = threading.Thread(target=revive)
    reviver.start()
    deploy(host, "back", "--docker-image", registry.name("back", "1")).ok()
    reviver.join()
    assert greeting(paas, "back") == "Back"


def test_an_image_that_never_starts_changes_nothing(
    paas: Paas, host: Door, registry: Registry, put: Put, name: str
) -> None:
    put("First")
    registry.put("broken", "1", BROKEN)
    broken = registry.name("broken", "1")
    host.ssh("apps:create", "kept").ok()
    deploy(host, "kept", "--docker-image", name, "KEPT=1").ok()
    before = host.ssh("config:show", "kept", "--format", "json").ok()
    registry.set_users({"ci": PASSWORD, "other": "other-password"})
    words = ("--private-registry-username", "other", "--private-registry-password", "-")
    result = host.ssh(
        "deploy", "--app", "kept", "--docker-image", broken, *words, "KEPT=2", "NEW=3", input="other-password"
    )
    assert result.code == 1
    assert "       no database\n" in result.out
    assert result.err == (
        " !     Could not start web.1: it exited with code 3. Nothing was changed; the release that served before still does\n"
    )
    assert host.ssh("config:show", "kept", "--format", "json").ok() == before
    [failed, serving] = json.loads(host.ssh("releases", "kept", "--format", "json").ok())
    assert (failed["status"], serving["current"]) == ("failed", True)
    assert greeting(paas, "kept") == "First"
    # The credentials are the old ones still, and the old image is what a deploy without one pulls.
    registry.set_users({"ci": PASSWORD})
    host.ssh("deploy", "--app", "kept").ok()
    assert greeting(paas, "kept") == "First"


def test_a_first_deploy_that_fails_can_be_tried_again(
    paas: Paas, host: Door, registry: Registry, put: Put, name: str
) -> None:
    registry.put("first-broken", "1", BROKEN)
    host.ssh("apps:create", "again").ok()
    assert deploy(host, "again", "--docker-image", registry.name("first-broken", "1")).code == 1
    assert host.ssh("config:keys", "again").ok() == ""
    assert (
        host.ssh("deploy", "--app", "again").err
        == " !     You need to deploy either from git or a Docker image\n"
    )
    put("Mended")
    deploy(host, "again", "--docker-image", name).ok()
    assert greeting(paas, "again") == "Mended"


def test_cancelling_a_pull(paas: Paas, host: Door, registry: Registry, put: Put, name: str) -> None:
    put("First")
    host.ssh("apps:create", "cancelled").ok()
    registry.put("slow", "1", "FROM paas-test/web\nCOPY noise /\n", {"noise": os.urandom(8_000_000)})
    registry.line.cut_after(1_000_000)
    process = subprocess.Popen(
        host.ssh_command(
            "deploy", "--app", "cancelled", "--docker-image", registry.name("slow", "1"), *LOGIN
        ),
        env=paas.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdin is not None
    process.stdin.write(PASSWORD.encode())
    process.stdin.close()
    # Cut, the engine waits before it tries again.
    assert registry.line.cut.wait(60)
    record = operations(paas, "cancelled")[0]
    assert record["status"] == "running"
    host.ssh("operation:cancel", str(record["id"])).ok()
    with process:
        assert process.wait(60) == 130
    record = operations(paas, "cancelled")[0]
    assert record["status"] == "cancelled"
    assert host.ssh("config:keys", "cancelled").ok() == ""
    registry.stop()
    registry.start()
    deploy(host, "cancelled", "--docker-image", name).ok()
    assert greeting(paas, "cancelled") == "First"
