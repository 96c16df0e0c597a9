"""Words of `docker build`: what a client with BuildKit gets, what the classic API gets, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from paas.engine.build import BuildRequest, build_arguments
from paas.engine.build_options import parse
from paas.engine.options import BadOption

WORDS = (
    "--build-arg X=1", "--build-arg=HTTP_PROXY=http://proxy:3128", "--label", "a=b", "--label=paas-test=1", "--no-cache",
    "--target=final", "--add-host", "db:10.0.0.1", "--memory=1g", "--shm-size 64m", "--network=host", "--platform=linux/amd64",
    "--cache-from=one", "--cache-from=two", "--pull=false",
)  # fmt: skip


def test_a_client_gets_words_and_build_arguments_in_its_environment() -> None:
    options = parse(WORDS)
    request = BuildRequest(Path("/tree"), "t:1", {"paas.app": "x"}, Path("logins"), options=options)
    words = build_arguments("docker", request)
    assert words[-1] == "/tree"
    assert words[words.index("t:1") + 1 : -1] == [
        "--label", "a=b", "--label", "paas-test=1", "--label", "paas.app=x",
        "--build-arg=X", "--build-arg=HTTP_PROXY=http://proxy:3128", "--no-cache=true", "--target=final", "--add-host=db:10.0.0.1",
        "--memory=1g", "--shm-size=64m", "--network=host", "--platform=linux/amd64", "--cache-from=one", "--cache-from=two",
        "--pull=false",
    ]  # fmt: skip
    assert options.client_environment() == {"X": "1"}


def test_the_classic_api_gets_the_same() -> None:
    options = parse(WORDS)
    assert options.arguments == {"X": "1", "HTTP_PROXY": "http://proxy:3128"}
    assert options.limits == {"memory": 2**30}
    assert options.api == {
        "nocache": True,
        "target": "final",
        "extra_hosts": {"db": "10.0.0.1"},
        "shmsize": 64 * 2**20,
        "network_mode": "host",
        "platform": "linux/amd64",
        "cache_from": ["one", "two"],
        "pull": False,
    }
    assert options.needs_buildkit == ""


def test_a_secret_needs_buildkit() -> None:
    assert parse(["--secret=id=npm,src=/run/npmrc"]).needs_buildkit == "--secret"


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("-v=/a:/b", "a build can't use it"),
        ("--restart=always", "a build can't use it"),
        ("--privileged", "a build can't use it"),
        ("--file=Dockerfile.web", "builder-dockerfile:set"),
        ("--tag=other", "paas itself decides that"),
        ("--build-arg=X", "is not NAME=VALUE"),
        ("--build-arg=a b=1", "is not a name of a build argument"),
        ("--label=paas.app=other", "paas's own"),
        ("--secret=id=npm", "is not id=NAME,src=/PATH"),
        ("--nonsense", "it is not known here"),
        (".", "it does not begin with -"),
    ],
)
def test_what_a_build_can_not_take_says_why(word: str, reason: str) -> None:
    with pytest.raises(BadOption) as caught:
        parse([word])
    assert reason in str(caught.value)
