"""Words of `docker build`: what the engine gets, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from paas.engine.build import BuildRequest, parameters
from paas.engine.build_options import parse
from paas.engine.context import FolderContext
from paas.engine.options import BadOption

WORDS = (
    "--build-arg X=1", "--build-arg=HTTP_PROXY=http://proxy:3128", "--label", "a=b", "--label=paas-test=1", "--no-cache",
    "--target=final", "--add-host", "db:10.0.0.1", "--memory=1g", "--shm-size 64m", "--network=host", "--platform=linux/amd64",
    "--cache-from=one", "--cache-from=two", "--pull=false",
)  # fmt: skip


def test_the_engine_gets_them_as_its_api_spells_them() -> None:
    request = BuildRequest(FolderContext(Path("/tree")), "t:1", {"paas.app": "x"}, "web/Dockerfile", options=parse(WORDS))
    assert parameters(request) == {
        "dockerfile": "web/Dockerfile",
        "t": "t:1",
        "labels": '{"a": "b", "paas-test": "1", "paas.app": "x"}',
        "buildargs": '{"X": "1", "HTTP_PROXY": "http://proxy:3128"}',
        "rm": "1",
        "forcerm": "1",
        "nocache": "1",
        "pull": "0",
        "target": "final",
        "extrahosts": ["db:10.0.0.1"],
        "memory": 2**30,
        "shmsize": 64 * 2**20,
        "networkmode": "host",
        "platform": "linux/amd64",
        "cachefrom": '["one", "two"]',
    }


def test_only_a_secret_needs_buildkit(tmp_path: Path) -> None:
    assert parse(WORDS).needs_buildkit == ""
    options = parse([f"--secret=id=npm,src={tmp_path}/npmrc"])
    assert options.needs_buildkit == "--secret"
    with pytest.raises(BadOption, match="its file can't be read: No such file"):
        options.secret("npm")
    (tmp_path / "npmrc").write_text("token")
    assert options.secret("npm") == b"token" and options.secret("other") is None


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
