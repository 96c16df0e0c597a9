"""The words of run, and how its containers are shown."""

from __future__ import annotations

import pytest

from paas.cli import split
from paas.commands.run import ago
from paas.deploy.containers.run_containers import run_labels
from paas.deploy.upkeep.inspection import masked
from paas.errors import UsageError


def test_runs_own_env_is_not_aptibles_environment() -> None:
    words = ["--env", "A=1", "--env", "B=2", "web1", "env", "--env", "x"]
    line = split(["run", *words])
    assert (line.words, line.environment) == (words, None)
    assert split(["deploy", "--env", "prod", "--app", "web1"]).environment == "prod"


def test_labels_may_stand_before_the_command() -> None:
    assert split(["--label=a=1", "--label=b=2", "run", "web1", "ls"]).words == ["--label=a=1", "--label=b=2", "web1", "ls"]
    with pytest.raises(UsageError, match="No such option: --label=a=1"):
        split(["--label=a=1", "apps:list"])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"),
        (1.2, "1 second"),
        (59, "59 seconds"),
        (61, "About a minute"),
        (3000, "50 minutes"),
        (3600, "About an hour"),
        (20 * 3600, "20 hours"),
        (72 * 3600, "3 days"),
    ],
)
def test_how_long_ago(seconds: float, text: str) -> None:
    assert ago(seconds) == text


def test_masked_variables() -> None:
    assert [masked(text) for text in ("A=1", "PATH=/bin", "PORT=5000", "DOKKU_X=1", "EMPTY=", "PATHS=x", "ODD")] == [
        "A=XXXXXX",
        "PATH=/bin",
        "PORT=5000",
        "DOKKU_X=1",
        "EMPTY=XXXXXX",
        "PATHS=XXXXXX",
        "ODD=XXXXXX",
    ]


def test_labels_say_until_when() -> None:
    assert "paas.expires" not in run_labels("attached", None)
    assert run_labels("detached", 60)["paas.expires"].isdigit()
