"""Reports, byte for byte as a real Dokku printed them."""

from __future__ import annotations

import json
import os

import pytest
from support.in_process import Commands

from paas.deploy.session import Session
from paas.engine.containers import ContainerState
from paas.model.release import WEB, Manifest, Process, Release
from paas.settings import Settings
from paas.store.repositories import Repository

COMMIT = "944c17f4292a6b4605630349f2c6c8b907f363f1"
UPDATED = 1795230292
CONTAINER = "26d4b549ef9a" + "0" * 52

PS_REPORT = """\
=====> web1 ps information
       Deployed:                         true
       Processes:                        1
       Ps can scale:                     true
       Ps computed dockerfile start cmd: 
       Ps computed procfile path:        Procfile
       Ps computed restart policy:       on-failure:10
       Ps computed skip deploy:          false
       Ps computed start cmd:            
       Ps computed stop timeout seconds: 30
       Ps dockerfile start cmd:          
       Ps global procfile path:          
       Ps global restart policy:         
       Ps global skip deploy:            
       Ps global stop timeout seconds:   
       Ps procfile path:                 
       Ps restart policy:                
       Ps skip deploy:                   
       Ps start cmd:                     
       Ps stop timeout seconds:          
       Restore:                          true
       Router active:                    0
       Router error rate:                0.0
       Router errors:                    0
       Router requests:                  0
       Running:                          true
       Status web 1:                     running (CID: 26d4b549ef9)
"""  # noqa: W291 - Dokku's trailing spaces

GIT_REPORT = """\
=====> web1 git information
       Git computed archive max files: 10000
       Git computed archive max size:  1073741824
       Git computed deploy branch:     global-branch
       Git computed keep git dir:      false
       Git deploy branch:              global-branch
       Git global archive max files:   
       Git global archive max size:    
       Git global deploy branch:       global-branch
       Git global keep git dir:        
       Git keep git dir:               
       Git last updated at:            1795230292
       Git rev env var:                GIT_REV
       Git sha:                        944c17f4292a6b4605630349f2c6c8b907f363f1
       Git source image:               bbweb:latest
"""  # noqa: W291

GIT_FLAGS = (
    "--git-computed-archive-max-files, --git-computed-archive-max-size, --git-computed-deploy-branch,"
    " --git-computed-keep-git-dir, --git-deploy-branch, --git-global-archive-max-files,"
    " --git-global-archive-max-size, --git-global-deploy-branch, --git-global-keep-git-dir, --git-keep-git-dir,"
    " --git-last-updated-at, --git-rev-env-var, --git-sha, --git-source-image"
)


class FakeContainers:
    """Containers by id: the engine's word for their state, None for one that is gone."""

    def __init__(self, states: dict[str, str | None]) -> None:
        self.states = states

    def find(self, container_id: str) -> ContainerState | None:
        status = self.states[container_id]
        if status is None:
            return None
        return ContainerState(container_id, status == "running", status, 0, False, "", None, 0, "", None, {}, 0)


@pytest.fixture
def report(paas_command: Commands, settings: Settings) -> Commands:
    paas_command("apps:create", "web1")
    return paas_command


def deploy(session: Session, processes: list[Process]) -> None:
    app = session.apps.get("web1")
    release = Release(
        app.id, 1, "pending", 1, 0, "", COMMIT, "bbweb:latest", "sha256:x", "t:1", {}, Manifest({WEB: None}), {}
    )
    session.releases.add(release)
    session.releases.commit(app, release, processes, {WEB: 1}, {}, [])


def web(number: int, container_id: str = CONTAINER) -> Process:
    return Process(container_id, 1, 1, WEB, number, "172.17.0.2", 5000)


def states(monkeypatch: pytest.MonkeyPatch, by_id: dict[str, str | None]) -> None:
    monkeypatch.setattr(Session, "containers", FakeContainers(by_id))


def test_ps_report(report: Commands, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(session, [web(1)])
    states(monkeypatch, {CONTAINER: "running"})
    said = report("ps:report", "web1")
    assert (said.code, said.out, said.err) == (0, PS_REPORT, "")
    assert report("--quiet", "ps:report", "web1").out == PS_REPORT.partition("\n")[2]
    assert report("ps:report", "web1", "--running").out == "true\n"
    assert report("ps:report", "web1", "--status-web.1").out == "running (CID: 26d4b549ef9)\n"


def test_git_report(report: Commands, session: Session) -> None:
    deploy(session, [])
    repository = session.repository(session.apps.get("web1"))
    repository.create("global-branch")
    for scope in ("web1", "--global"):
        assert report("git:set", scope, "deploy-branch", "global-branch").code == 0
    ref = repository.path / "refs/heads/global-branch"
    commit_something(repository, "global-branch")
    os.utime(ref, (UPDATED, UPDATED))
    said = report("git:report", "web1")
    assert said.code == 0 and said.err == ""
    assert said.out == GIT_REPORT.replace(COMMIT, ref.read_text().strip())
    assert report("--app", "web1", "git:report", "--git-source-image").out == "bbweb:latest\n"


def commit_something(repository: Repository, branch: str) -> None:
    tree = repository.git("hash-object", "-t", "tree", "-w", os.devnull).decode().strip()
    identity = ("-c", "user.name=x", "-c", "user.email=x")
    commit = repository.git(*identity, "commit-tree", "-m", "x", tree).decode().strip()
    repository.git("update-ref", f"refs/heads/{branch}", commit)


@pytest.mark.parametrize(
    ("by_number", "running", "shown"),
    [
        ({1: "running", 2: "exited"}, "mixed", "exited"),
        ({1: "exited", 2: "exited"}, "false", "exited"),
        ({1: "running", 2: None}, "mixed", "missing"),
        ({1: "running", 2: "running"}, "true", "running"),
    ],
)
def test_whether_an_app_runs(
    report: Commands,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    by_number: dict[int, str | None],
    running: str,
    shown: str,
) -> None:
    ids = {number: str(number) * 64 for number in by_number}
    deploy(session, [web(number, ids[number]) for number in by_number])
    states(monkeypatch, {ids[number]: state for number, state in by_number.items()})
    assert report("ps:report", "web1", "--running").out == f"{running}\n"
    assert report("ps:report", "web1", "--status-web.2").out.startswith(f"{shown} (CID: 22222222222)")


def test_an_app_that_was_never_deployed(report: Commands) -> None:
    lines = report("ps:report", "web1").out.splitlines()
    assert lines[1] == "       Deployed:                         false"
    assert lines[-1] == "       Running:                          false"
    assert report("git:report", "web1", "--git-sha").out == "\n"
    assert report("git:report", "web1", "--git-last-updated-at").out == "\n"


def test_an_invalid_flag_names_the_valid_ones(report: Commands) -> None:
    said = report("git:report", "web1", "--nope")
    assert (said.code, said.out) == (1, "")
    assert said.err == f" !     Invalid flag passed, valid flags: {GIT_FLAGS}\n"


def test_one_flag_and_a_format_do_not_go_together(report: Commands) -> None:
    said = report("git:report", "web1", "--git-sha", "--format", "json")
    assert (said.code, said.err) == (1, " !     --format flag cannot be specified when specifying an info flag\n")
    said = report("git:report", "web1", "--format", "yaml")
    assert (said.code, said.err) == (1, ' !     Format must be "stdout" or "json": "yaml"\n')


def test_json_is_one_object_of_strings_with_sorted_keys(report: Commands) -> None:
    report("git:set", "web1", "source-image", "<A&B>")
    said = report("git:report", "web1", "--format", "json")
    assert said.out.count("\n") == 1 and r'"source-image":"\u003cA\u0026B\u003e"' in said.out and ": " not in said.out
    values = json.loads(said.out)
    assert list(values) == sorted(values)
    assert values["computed-deploy-branch"] == "master" and values["source-image"] == "<A&B>"
    assert not [key for key in values if key.startswith("git-")]


def test_the_json_of_older_reports_has_each_key_twice(report: Commands) -> None:
    values = json.loads(report("ps:report", "web1", "--format", "json").out)
    assert values["ps-restart-policy"] == values["restart-policy"] == ""
    assert values["ps-computed-restart-policy"] == values["computed-restart-policy"] == "on-failure:10"
    assert values["running"] == "false" and "ps-running" not in values
    assert {type(value) for value in values.values()} == {str}


def test_all_apps_one_after_the_other(report: Commands) -> None:
    report("apps:create", "a")
    out = report("git:report").out
    assert [line for line in out.splitlines() if line.startswith("=====> ")] == [
        "=====> a git information",
        "=====> web1 git information",
    ]
    documents = report("git:report", "--format", "json").out.splitlines()
    assert len(documents) == 2 and all(json.loads(text)["rev-env-var"] == "GIT_REV" for text in documents)
    assert report("git:report", "--git-rev-env-var").out == "GIT_REV\nGIT_REV\n"


def test_no_apps(paas_command: Commands) -> None:
    said = paas_command("ps:report")
    assert (said.code, said.out, said.err) == (0, "", " !     You haven't deployed any applications yet\n")
