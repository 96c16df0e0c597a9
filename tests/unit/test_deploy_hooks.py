""".aptible.yml's after_* commands: which run, in which image and with which config, and that none changes the outcome."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from support.in_process import engine_image

from paas.deploy import release as releases
from paas.deploy.files import hooks
from paas.deploy.files.hooks import lifecycle
from paas.deploy.phase import PhaseFailed
from paas.deploy.release import Plan
from paas.deploy.session import Session
from paas.engine.images import Image
from paas.errors import Cancelled, EngineUnavailable, PaasError
from paas.model.names import AppName
from paas.model.release import WEB, Manifest, PhaseCommand, Release
from paas.store.apps import App

KINDS = ("deploy", "restart", "configure", "scale")
EVERY = {
    f"after_{what}_{how}": (f"{how} {what}", f"{how} {what} again")
    for what in KINDS
    for how in ("success", "failure")
}

Ran = list[tuple[str, str, str]]


@pytest.fixture
def app(session: Session) -> App:
    session.__dict__["images"] = SimpleNamespace(find=lambda tag: engine_image(id=tag))
    return session.apps.create(AppName("app"))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """What ran: the image, the config's STAGE and the command. A command `fail` ends with 1."""
    found: Ran = []

    def run(
        session: Session, app: App, release: Release, image: Image, item: PhaseCommand, operation_id: int
    ) -> None:
        found.append((image.id, release.config["STAGE"], item.command))
        if item.command == "fail":
            raise PhaseFailed(phase=item.phase, command=item.command, reason="exit code 1")
        if item.command == "away":
            raise EngineUnavailable(address="x", reason="y")

    monkeypatch.setattr(hooks, "run_command", run)
    return found


def release(session: Session, app: App, number: int, commands: dict[str, tuple[str, ...]]) -> None:
    """Make a release the one that serves."""
    now = session.apps.get(app.name)
    operation = session.operations.start(now, "deploy", "", session.caller)
    config = {"STAGE": f"stage {number}"}
    plan = Plan(
        "Deploy", engine_image(), f"image {number}", "x", None, config, Manifest({WEB: None}, hooks=commands)
    )
    record = releases.create(session, now, plan, operation.id, number)
    session.releases.commit(now, record, [], {WEB: 1}, config, [])


def ended(session: Session, app: App, what: str, error: BaseException) -> None:
    """An operation on the app as it is that fails."""
    with pytest.raises(type(error)), lifecycle(session, session.apps.get(app.name), what, 1):
        raise error


def said(session: Session) -> str:
    return session.console.err.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("what", KINDS)
def test_success_runs_in_the_release_that_serves_now(session: Session, app: App, ran: Ran, what: str) -> None:
    release(session, app, 1, dict.fromkeys(EVERY, ("old",)))
    with lifecycle(session, session.apps.get(app.name), what, 1):
        release(session, app, 2, EVERY)
        assert ran == []
    assert ran == [
        ("image 2", "stage 2", f"success {what}"),
        ("image 2", "stage 2", f"success {what} again"),
    ]


@pytest.mark.parametrize("error", [PaasError("no"), Cancelled()])
@pytest.mark.parametrize("what", KINDS)
def test_failure_runs_as_the_release_that_served_before(
    session: Session, app: App, ran: Ran, what: str, error: BaseException
) -> None:
    release(session, app, 1, EVERY)
    ended(session, app, what, error)
    assert ran == [
        ("image 1", "stage 1", f"failure {what}"),
        ("image 1", "stage 1", f"failure {what} again"),
    ]


def test_a_first_deploy_that_fails_has_nothing_to_run(session: Session, app: App, ran: Ran) -> None:
    ended(session, app, "deploy", PaasError("no"))
    assert ran == []
    assert said(session) == ""


def test_a_first_deploy_that_succeeds_runs_its_own(session: Session, app: App, ran: Ran) -> None:
    with lifecycle(session, app, "deploy", 1):
        release(session, app, 1, EVERY)
    assert [command for _, _, command in ran] == ["success deploy", "success deploy again"]


@pytest.mark.parametrize(
    ("commands", "warning"),
    [
        (
            ("one", "fail", "never"),
            "Execution of after_scale_success task failed: fail (exit code 1); the rest of after_scale_success was not run",
        ),
        (("one", "away", "never"), "after_scale_success was not run: The Docker Engine at x does not answer"),
    ],
)
def test_a_hook_that_fails_changes_nothing(
    session: Session, app: App, ran: Ran, commands: tuple[str, ...], warning: str
) -> None:
    release(session, app, 1, {"after_scale_success": commands})
    with lifecycle(session, session.apps.get(app.name), "scale", 1):
        pass
    assert [command for _, _, command in ran] == list(commands[:2])
    assert said(session).startswith(f" !     {warning}")


def test_a_failure_hook_that_fails_hides_no_reason(session: Session, app: App, ran: Ran) -> None:
    release(session, app, 1, {"after_deploy_failure": ("fail",)})
    with (
        pytest.raises(PaasError, match=r"^the reason$"),
        lifecycle(session, session.apps.get(app.name), "deploy", 1),
    ):
        raise PaasError("the reason")


def test_an_image_that_is_gone_runs_nothing(session: Session, app: App, ran: Ran) -> None:
    release(session, app, 1, EVERY)
    session.__dict__["images"] = SimpleNamespace(find=lambda tag: None)
    ended(session, app, "deploy", PaasError("no"))
    assert ran == []
