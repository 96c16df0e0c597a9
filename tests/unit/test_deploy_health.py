"""How long web may take, and how an end is told."""

from __future__ import annotations

import pytest

from paas.deploy.health import ending, timeout_seconds
from paas.engine.containers import ContainerState
from paas.model.release import WEB, Manifest, Release


def release(config: dict[str, str]) -> Release:
    return Release(1, 1, "pending", 1, 0, "", None, None, "i", "t", config, Manifest({WEB: None}), {})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1", 1), ("120", 120), ("900", 900), ("901", 900), ("0", 1), ("999999999", 900)],
)
def test_the_timeout_is_taken_from_config_within_bounds(text: str, seconds: int) -> None:
    assert timeout_seconds(release({"RELEASE_HEALTHCHECK_TIMEOUT": text})) == seconds


@pytest.mark.parametrize("text", ["", "x", "-5", "1.5", " 9", "²", "٣", "9" * 5000])
def test_what_is_no_timeout_counts_as_none(text: str) -> None:
    assert timeout_seconds(release({"RELEASE_HEALTHCHECK_TIMEOUT": text})) == timeout_seconds(release({})) == 60


@pytest.mark.parametrize(
    ("code", "oom", "words"),
    [
        (0, False, "it exited with code 0 (it ended by itself)"),
        (1, False, "it exited with code 1"),
        (126, False, "it exited with code 126 (its command can't be executed)"),
        (127, False, "it exited with code 127 (its command was not found)"),
        (137, False, "it exited with code 137 (it was killed)"),
        (137, True, "it ran out of memory and was killed"),
        (143, False, "it exited with code 143 (it was terminated)"),
    ],
)
def test_how_a_container_ended(code: int, oom: bool, words: str) -> None:
    assert ending(ContainerState("i", False, "exited", code, oom, "", None, 0, "", None, {}, 0)) == words
