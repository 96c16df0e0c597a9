"""The commands of a release's phase, each in a throw-away container of the new image."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from paas.deploy.phase import PhaseFailed, run_before
from paas.deploy.session import Session
from paas.engine.images import Images
from paas.model.names import AppName
from paas.model.release import WEB, Manifest, PhaseCommand, Release
from paas.store.apps import App


@pytest.fixture
def app(session: Session) -> Iterator[App]:
    made = session.apps.create(AppName("phase"))
    yield made
    session.apps.delete(made)


@pytest.fixture
def run(session: Session, app: App, images: Images, busybox: str) -> Callable[..., None]:
    """`run("command", …)`: run these lines before a release."""

    def run_lines(*lines: str) -> None:
        image = images.find(busybox)
        assert image is not None
        before = tuple(PhaseCommand("release", "Procfile", line) for line in lines)
        release = Release(
            app.id, 1, "pending", 7, 0, "", "c" * 40, None, image.id, busybox, {"K": "a b"}, Manifest({WEB: None}, before=before), {}
        )
        run_before(session, app, release, image, 7)

    return run_lines


def left_over(session: Session) -> list[str]:
    return session.containers.ids({"paas.root": str(session.settings.root), "paas.app": "phase"})


def test_a_command_runs_with_the_new_config_and_its_output_is_shown(
    run: Callable[..., None], session: Session, printed: Callable[[], str]
) -> None:
    run('echo "K is $K"; echo $GIT_REV', "printf unfinished")
    said = re.sub(r"\([0-9a-f]{9}\)", "(ID)", printed())
    assert said == (
        "-----> Checking for release task\n"
        '       Executing release task from Procfile in ephemeral container: echo "K is $K"; echo $GIT_REV\n'
        "=====> Start of phase release task (ID) output\n"
        "       K is a b\n"
        f"       {'c' * 40}\n"
        "=====> End of phase release task (ID) output\n"
        "-----> Checking for release task\n"
        "       Executing release task from Procfile in ephemeral container: printf unfinished\n"
        "=====> Start of phase release task (ID) output\n"
        "       unfinished\n"
        "=====> End of phase release task (ID) output\n"
    )
    assert left_over(session) == []


def test_a_command_that_fails_ends_it_with_its_output(
    run: Callable[..., None], session: Session, printed: Callable[[], str]
) -> None:
    with pytest.raises(PhaseFailed, match=r"Execution of release task failed: echo why >&2; exit 4 \(exit code 4\)") as caught:
        run("echo why >&2; exit 4", "echo never")
    assert len(caught.value.lines) == 1
    assert "       why\n" in printed() and "       never" not in printed()
    assert left_over(session) == []


def test_without_commands_nothing_is_said(run: Callable[..., None], printed: Callable[[], str]) -> None:
    run()
    assert printed() == ""
