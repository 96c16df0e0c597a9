"""registry:login and push-on-release, against a real registry with users and TLS."""

from __future__ import annotations

import json

import docker
import docker.errors
import pytest
from support.doors import Door
from support.registry import Registry, running_registry
from support.repo import Repo
from support.server import Paas, Result

PASSWORD = "correct-horse"


def refused(result: Result, text: str) -> None:
    assert result.code == 1, result.out
    assert result.err == f" !     {text}\n"


def login(host: Door, *scope: str, registry: Registry) -> None:
    result = host.ssh(
        "registry:login", "--password-stdin", *scope, registry.host, "ci", input=f"{PASSWORD}\n"
    )
    assert (result.code, result.out) == (0, ""), result.err


def greeting(paas: Paas, app: str) -> str:
    return paas.http_get(app).body.split("<h1>")[1].split(" ")[0]


@pytest.fixture(scope="module")
def image(registry: Registry, image_names: dict[str, str]) -> str:
    registry.put("team/private", "1", "FROM paas-test/web\nENV GREETING=Private\n")
    return registry.name("team/private", "1")


def test_a_login_is_tried_before_it_is_kept(paas: Paas, host: Door, registry: Registry) -> None:
    host.ssh("apps:create", "tried").ok()
    words = ("registry:login", "--password-stdin", "tried", registry.host, "ci")
    result = host.ssh(*words, input="unmistakable-password")
    refused(
        result,
        f"Login at {registry.host} failed. The registry {registry.host} refused the user ci: wrong or expired credentials,"
        " or no right to it. Nothing was changed. Check them, and log in again with registry:login",
    )
    result = host.ssh("registry:login", "tried", "localhost:1", "ci", "x")
    assert (
        result.code == 1
        and "Login at localhost:1 failed. The registry localhost:1 can't be reached (" in result.err
    )
    assert (
        host.ssh("registry:logout", "tried", registry.host).err
        == f" !     Not logged in to {registry.host} for tried\n"
    )


def test_the_words_of_a_login(paas: Paas, host: Door, registry: Registry) -> None:
    host.ssh("apps:create", "words").ok()
    said = host.ssh("registry:login", "words", registry.host, "ci", PASSWORD)
    assert (said.code, said.out, said.err) == (0, "", " !     Login Succeeded for words\n")
    said = host.ssh("registry:login", "--global", registry.host, "ci", PASSWORD)
    assert (said.code, said.err) == (0, " !     Login Succeeded for global registry\n")
    said = host.ssh("registry:login", registry.host, "ci", PASSWORD)
    assert said.err.startswith(" !     Deprecated: please use --global flag for global registry login\n")
    for words, missing in (
        (("words",), "server"),
        (("words", registry.host), "username"),
        (("words", registry.host, "ci"), "password"),
        (("--global",), "server"),
        (("--password-stdin", "words", registry.host, "ci"), "password"),
    ):
        refused(host.ssh("registry:login", *words), f"Missing {missing} argument")
    assert host.ssh("registry:login", "missing", registry.host, "ci", "x").code == 20
    assert host.ssh("registry:login", "--global", "'no host'", "ci", "x").code == 1
    assert host.ssh("registry:login", "--global", "--", "--x", "ci", "x").code == 1
    assert host.ssh("registry:logout", "--global", f"https://{registry.host}/").code == 0


def test_a_password_is_at_rest_encrypted_and_nowhere_else(paas: Paas, host: Door, registry: Registry) -> None:
    host.ssh("apps:create", "rest").ok()
    login(host, "rest", registry=registry)
    shown = host.ssh("operations", "rest", "--format", "json").ok()
    assert "registry:login" in shown and registry.host in shown
    for words in (("registry:report", "rest"), ("config:show", "rest")):
        shown += host.ssh(*words).ok()
    assert PASSWORD not in shown + paas.log.read_text()
    files = [path for path in paas.root.rglob("*") if path.is_file()]
    assert paas.root / "paas.db" in files
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []


def test_pulls_with_the_apps_login_or_the_global_one(
    paas: Paas, host: Door, registry: Registry, image: str
) -> None:
    host.ssh("apps:create", "own").ok()
    host.ssh("apps:create", "other").ok()
    login(host, "own", registry=registry)
    assert host.ssh("git:from-image", "other", image).code == 1
    host.ssh("git:from-image", "own", image).ok()
    assert greeting(paas, "own") == "Private"
    # The image is here now, but Aptible's deploy asks the registry in any case.
    deploy = ("deploy", "--app", "other", "--docker-image", image)
    assert host.ssh(*deploy).code == 1
    login(host, "--global", registry=registry)
    host.ssh(*deploy).ok()
    # What is in the config comes first, also when it is wrong.
    host.ssh(
        "config:set",
        "--app",
        "own",
        "APTIBLE_PRIVATE_REGISTRY_USERNAME=ci",
        "APTIBLE_PRIVATE_REGISTRY_PASSWORD=no",
    ).ok()
    assert "refused the user ci" in host.ssh("deploy", "--app", "own", "--docker-image", image).err
    host.ssh("registry:logout", "--global", registry.host).ok()
    assert host.ssh("deploy", "--app", "other").code == 1


def test_a_private_from_is_built_with_the_apps_login(
    host: Door, paas: Paas, repo: Repo, image_names: dict[str, str]
) -> None:
    # On loopback and without TLS: the one kind of registry of one's own that BuildKit takes without being set up for it.
    with running_registry("127.0.0.1", {"ci": PASSWORD}, tls=False) as private:
        private.put("base", "1", "FROM paas-test/web\nENV GREETING=Based\n")
        host.ssh("apps:create", "based").ok()
        repo.write({"Dockerfile": f"FROM {private.name('base', '1')}\nENV MORE=1\n"})
        repo.commit()
        failed = repo.push(host.remote("based"), "main:master", host.git_env())
        assert failed.code == 1 and "Log in with registry:login" in failed.err
        login(host, "based", registry=private)
        pushed = repo.push(host.remote("based"), "main:master", host.git_env())
        assert pushed.code == 0, pushed.err
        assert greeting(paas, "based") == "Based"


def tags(registry: Registry, repository: str) -> list[str]:
    found: list[str] = json.loads(registry._request("GET", f"{repository}/tags/list"))["tags"]
    return sorted(found)


def test_push_on_release(
    paas: Paas, host: Door, registry: Registry, engine: docker.DockerClient, image_names: dict[str, str]
) -> None:
    host.ssh("apps:create", "pushed").ok()
    login(host, "pushed", registry=registry)
    for key, value in (
        ("server", f"{registry.host}/"),
        ("image-repo-template", "'team/{{ .AppName }}'"),
        ("push-on-release", "true"),
    ):
        host.ssh("registry:set", "pushed", key, value).ok()
    said = host.ssh("git:from-image", "pushed", image_names["web"]).ok()
    first, second = registry.name("team/pushed", "1"), registry.name("team/pushed", "2")
    assert (
        said.index("-----> Releasing pushed...")
        < said.index(f"-----> Pushing {first}\n")
        < said.index("-----> Deploying web")
    )
    assert tags(registry, "team/pushed") == ["1"]
    # A change of config has no new image.
    host.ssh("config:set", "pushed", "GREETING=Hi").ok()
    host.ssh("registry:set", "pushed", "push-extra-tags", "latest,stable").ok()
    host.ssh("ps:rebuild", "pushed").ok()
    assert tags(registry, "team/pushed") == ["1", "2", "latest", "stable"]
    report = json.loads(host.ssh("registry:report", "pushed", "--format", "json").ok())
    assert (report["tag-version"], report["computed-server"]) == ("2", f"{registry.host}/")
    assert report["computed-image-repo"] == "team/pushed" == report["registry-computed-image-repo"]
    # The names are the registry's; the engine keeps none of them.
    for name in (first, second):
        with pytest.raises(docker.errors.ImageNotFound):
            engine.images.get(name)
    host.ssh("registry:logout", "pushed", registry.host).ok()
    failed = host.ssh("ps:rebuild", "pushed")
    third = registry.name("team/pushed", "3")
    refused(
        failed,
        f"Failed to push image: {third}. The registry {registry.host} wants credentials. Nothing was changed; the release"
        " that served before still does. Log in first: registry:login APP SERVER USER",
    )
    assert "Deploying web" not in failed.out
    assert greeting(paas, "pushed") == "Hi"
    assert host.ssh("registry:report", "pushed", "--registry-tag-version").ok() == "2\n"
    assert host.ssh("ps:report", "pushed", "--running").ok() == "true\n"
    with pytest.raises(docker.errors.ImageNotFound):
        engine.images.get(third)
