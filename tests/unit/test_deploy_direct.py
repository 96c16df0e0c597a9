"""deploy: what a request means for an app's config, image and commit, before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.repo import Repo

from paas.deploy import source
from paas.deploy.pipeline import Change
from paas.deploy.session import Session
from paas.deploy.sources import direct
from paas.deploy.sources.direct import (
    DeployRequest,
    DifferentValues,
    Incompatible,
    NoSuchReference,
    NothingToDeploy,
)
from paas.deploy.sources.registry import CredentialsIncomplete
from paas.errors import PaasError
from paas.model.image import ImageRef
from paas.model.names import AppName, BranchName
from paas.store.apps import App

IMAGE = "quay.io/o/app:1"


@pytest.fixture
def app(session: Session) -> App:
    return session.apps.create(AppName("app"))


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> list[Change]:
    found: list[Change] = []

    def deploy(session: Session, running: object, change: Change) -> None:
        found.append(change)
        change.also()

    monkeypatch.setattr(direct, "deploy", deploy)
    return found


Commit = Callable[[str], str]


@pytest.fixture
def commit_to(session: Session, app: App, tmp_path: Path) -> Commit:
    """`commit_to("branch")` puts a commit on a branch of the app's repository."""
    work, stored = Repo(tmp_path / "work"), session.repository(app)
    stored.create("master")

    def commit(branch: str) -> str:
        made = work.commit(f"For {branch}")
        stored.git("fetch", "--quiet", str(work.path), f"HEAD:refs/heads/{branch}")
        return made

    return commit


def test_options_become_variables() -> None:
    request = DeployRequest(docker_image="x", username="", password="", variables={"A": "1"})
    assert request.settings() == {
        "A": "1",
        "APTIBLE_DOCKER_IMAGE": "x",
        "APTIBLE_PRIVATE_REGISTRY_USERNAME": "",
        "APTIBLE_PRIVATE_REGISTRY_PASSWORD": "",
    }
    assert DeployRequest().settings() == {}


def test_a_variable_that_says_otherwise_than_its_option() -> None:
    with pytest.raises(
        DifferentValues, match="--private-registry-password and APTIBLE_PRIVATE_REGISTRY_PASSWORD"
    ):
        DeployRequest(password="a", variables={"APTIBLE_PRIVATE_REGISTRY_PASSWORD": "b"}).settings()
    # An empty option is an option.
    with pytest.raises(DifferentValues, match="--docker-image"):
        DeployRequest(docker_image="", variables={"APTIBLE_DOCKER_IMAGE": "b"}).settings()


def test_a_request_tells_no_password() -> None:
    assert "hidden" not in repr(DeployRequest(docker_image="x", password="hidden", variables={"A": "hidden"}))


def test_an_image_alone(session: Session, app: App, changes: list[Change]) -> None:
    direct.run(session, app, DeployRequest(docker_image=IMAGE, variables={"A": "1", "GONE": ""}))
    assert changes[0].source.commit is None
    assert changes[0].source.image == ImageRef.parse(IMAGE)
    assert changes[0].config == {"APTIBLE_DOCKER_IMAGE": IMAGE, "A": "1"}


def test_an_empty_image_goes_back_to_the_repository(
    session: Session, app: App, commit_to: Commit, changes: list[Change]
) -> None:
    session.config(app).replace({"APTIBLE_DOCKER_IMAGE": IMAGE})
    commit = commit_to("master")
    direct.run(session, app, DeployRequest(docker_image=""))
    assert (changes[0].source.commit, changes[0].source.image) == (commit, None)
    assert changes[0].config == {}


def test_the_deploy_branch_goes_with_the_stored_image(
    session: Session, app: App, commit_to: Commit, changes: list[Change]
) -> None:
    session.config(app).replace({"APTIBLE_DOCKER_IMAGE": IMAGE})
    commit = commit_to("master")
    commit_to("other")
    direct.run(session, app, DeployRequest())
    assert changes[0].source == source.Source(commit, ImageRef.parse(IMAGE))


@pytest.mark.parametrize("kind", ["branch", "tag", "commit", "short commit"])
def test_commitish_is_a_branch_a_tag_or_a_commit(
    session: Session, app: App, commit_to: Commit, changes: list[Change], kind: str
) -> None:
    commit = commit_to("deploy-1234/x")
    name = ("-c", "user.name=x", "-c", "user.email=x@example.com")
    session.repository(app).git(*name, "tag", "-a", "-m", "x", "v1", commit)
    given = {"branch": "deploy-1234/x", "tag": "v1", "commit": commit, "short commit": commit[:8]}[kind]
    direct.run(session, app, DeployRequest(docker_image=IMAGE, commitish=given))
    assert changes[0].source.commit == commit


@pytest.mark.parametrize(
    "given", ["nope", "HEAD", "master~1", "-h", "refs/heads/master", "a b", "é", "f" * 40]
)
def test_anything_else_is_no_reference(
    session: Session, app: App, commit_to: Commit, changes: list[Change], given: str
) -> None:
    commit_to("master")
    with pytest.raises(NoSuchReference):
        direct.run(session, app, DeployRequest(docker_image=IMAGE, commitish=given))
    assert changes == []


def test_detaching_lasts_until_a_commitish(
    session: Session, app: App, commit_to: Commit, changes: list[Change]
) -> None:
    commit = commit_to("master")
    wanted = [
        (DeployRequest(docker_image=IMAGE), commit),
        (DeployRequest(docker_image=IMAGE, detach=True), None),
        (DeployRequest(docker_image=IMAGE), None),
        (DeployRequest(docker_image=IMAGE, commitish="master"), commit),
        (DeployRequest(docker_image=IMAGE), commit),
    ]
    for request, _ in wanted:
        direct.run(session, app, request)
    assert [change.source.commit for change in changes] == [commit for _, commit in wanted]


def test_a_failed_deploy_does_not_detach(
    session: Session, app: App, commit_to: Commit, changes: list[Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = commit_to("master")

    def fail(*_: object) -> None:
        raise PaasError("no")

    with monkeypatch.context() as broken:
        broken.setattr(direct, "deploy", fail)
        with pytest.raises(PaasError, match=r"^no$"):
            direct.run(session, app, DeployRequest(docker_image=IMAGE, detach=True))
    direct.run(session, app, DeployRequest(docker_image=IMAGE))
    assert changes[0].source.commit == commit


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (DeployRequest(), NothingToDeploy),
        (DeployRequest(detach=True), NothingToDeploy),
        (DeployRequest(docker_image=IMAGE, detach=True, commitish="x"), Incompatible),
        (DeployRequest(docker_image=IMAGE, username="u"), CredentialsIncomplete),
        (DeployRequest(docker_image=IMAGE, password="p"), CredentialsIncomplete),
    ],
)
def test_what_is_refused_is_not_even_recorded(
    session: Session, app: App, changes: list[Change], request_: DeployRequest, error: type[PaasError]
) -> None:
    with pytest.raises(error):
        direct.run(session, app, request_)
    assert changes == []
    assert session.operations.recent(app, 10) == []
    assert session.config(app).all() == {}


def test_what_another_operation_changed_meanwhile_counts(
    session: Session, app: App, changes: list[Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    session.config(app).replace({"A": "before"})
    began = session.operations.start

    def start(*words: object) -> object:
        session.config(app).replace({"A": "meanwhile"})
        return began(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(session.operations, "start", start)
    direct.run(session, app, DeployRequest(docker_image=IMAGE))
    assert changes[0].config["A"] == "meanwhile"


def test_the_deploy_branch_is_a_branch_name(session: Session, app: App) -> None:
    assert source.deploy_branch(session, app) == BranchName("master")
