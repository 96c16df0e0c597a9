"""git is called in one way only."""

from __future__ import annotations

import re
from pathlib import Path

from paas.store.git_program import ENVIRONMENT, OPTIONS, bounded, git_words

PAAS = Path(__file__).parent.parent.parent / "paas"


def test_nobody_calls_git_in_another_way() -> None:
    """Attack: one forgotten call without our options runs what a repository's content, or somebody's settings, say."""
    calling = {
        path.relative_to(PAAS).as_posix()
        for path in PAAS.rglob("*.py")
        if re.search(r"""\[["']git["'],|\(["']git["'], ["']-""", path.read_text())
    }
    # host.py asks for git's version only; the client runs on people's own machines, with their own git.
    calling = {name for name in calling if not name.startswith("client/")}
    assert calling == {"store/git_program.py", "deploy/upkeep/host.py"}


def test_later_options_count() -> None:
    words = git_words([("core.hooksPath", "/ours"), ("transfer.hideRefs", "refs"), ("transfer.hideRefs", "!refs/heads")])
    assert words[0] == "git"
    assert words.index("core.hooksPath=/ours") > words.index("core.hooksPath=/dev/null")
    assert words[-4:] == ["-c", "transfer.hideRefs=refs", "-c", "transfer.hideRefs=!refs/heads"]
    assert bounded(words)[2:] == words


def test_what_counts_everywhere() -> None:
    assert dict(OPTIONS)["protocol.ext.allow"] == "never"
    assert (ENVIRONMENT["GIT_ALLOW_PROTOCOL"], ENVIRONMENT["GIT_CONFIG_NOSYSTEM"]) == ("", "1")
