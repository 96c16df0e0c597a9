"""Limits, docker options and restart policies: what is stored, and which words a container gets for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paas.deploy.containers import docker_options, resources
from paas.deploy.containers.container_options import container_options
from paas.deploy.containers.docker_options import InvalidPhase, NotForProcess, normal, parse_phases
from paas.deploy.containers.resources import DEFAULT, InvalidResource, ResourcesDisagree
from paas.deploy.containers.services import service_settings, set_size, sized
from paas.deploy.session import Session
from paas.engine.containers import ContainerState
from paas.engine.options import BadOption, parse
from paas.model.names import ProcessType
from paas.store.apps import App
from paas.store.properties import GLOBAL

WEB, WORKER = ProcessType("web"), ProcessType("worker")
ENDED = ContainerState("0" * 64, False, "exited", 1, False, "", None, 0, "", None, {}, 0)


def limit(session: Session, app: App, kind: str, **values: str) -> None:
    resources.change(
        session, app, kind, "limit", {key.replace("_", "-"): value for key, value in values.items()}
    )


def words(session: Session, app: App, kind: ProcessType = WEB) -> tuple[str, ...]:
    return resources.resource_options(session, app, "deploy", kind)


def test_a_types_own_limit_counts_before_the_default(session: Session, app: App) -> None:
    limit(session, app, DEFAULT, memory="100", cpu="2", memory_swap="300m")
    limit(session, app, WORKER, memory="1g", memory_swap="-1", nvidia_gpu="1")
    resources.change(session, app, DEFAULT, "reserve", {"memory": "50"})
    mb = 2**20
    assert words(session, app) == (
        "--cpus=2", f"--memory={100 * mb}", f"--memory-swap={300 * mb}", f"--memory-reservation={50 * mb}",
    )  # fmt: skip
    assert words(session, app, WORKER) == (
        "--cpus=2", f"--memory={1024 * mb}", "--memory-swap=-1", "--gpus=1", f"--memory-reservation={50 * mb}",
    )  # fmt: skip
    assert resources.resource_options(session, app, "run", None) == ()
    limit(session, app, WORKER, memory="clear")
    assert service_settings(session, app.id, WORKER).memory_mb == 100


def test_memory_is_one_truth_for_dokkus_and_aptibles_commands(session: Session, app: App) -> None:
    limit(session, app, WEB, memory="1g")
    assert service_settings(session, app.id, WEB).memory_mb == 1024
    set_size(session, app.id, WEB, 512)
    assert resources.own(session, app.id, WEB, "limit")["memory"] == "512"
    limit(session, app, DEFAULT, memory="64m")
    with pytest.raises(RuntimeError), sized(session, app, [WEB, WORKER], 2048):
        assert service_settings(session, app.id, WORKER).memory_mb == 2048
        raise RuntimeError
    assert resources.own(session, app.id, WEB, "limit")["memory"] == "512"
    assert resources.own(session, app.id, WORKER, "limit")["memory"] == "", "the default is not made its own"


def test_swap_without_a_memory_limit_is_not_asked_for(session: Session, app: App) -> None:
    limit(session, app, WEB, memory_swap="1g")
    assert words(session, app) == ()


@pytest.mark.parametrize(
    ("key", "value"),
    [("cpu", "0"), ("cpu", "lots"), ("memory", "5m"), ("memory", "1"), ("memory", "-1"), ("memory-swap", "x"),
     ("network", "-1"), ("nvidia-gpu", "x"), ("nvidia-gpu", "0")],
)  # fmt: skip
def test_a_value_that_means_nothing_is_refused(session: Session, app: App, key: str, value: str) -> None:
    with pytest.raises(InvalidResource, match=f"Invalid value for {key}: .*Nothing was changed"):
        resources.change(session, app, DEFAULT, "limit", {"memory": "100", key: value})
    assert session.properties.all(app.id, "resource") == {}


def test_limits_that_docker_refuses_together_are_not_stored(session: Session, app: App) -> None:
    limit(session, app, DEFAULT, memory="100")
    with pytest.raises(ResourcesDisagree):
        limit(session, app, WEB, memory_swap="50m")
    with pytest.raises(ResourcesDisagree):
        resources.change(session, app, WORKER, "reserve", {"memory": "200"})
    assert session.properties.all(app.id, "resource") == {"_default_.limit.memory": "100"}


def test_clear_takes_one_kind_away_or_all(session: Session, app: App) -> None:
    limit(session, app, DEFAULT, memory="100")
    limit(session, app, WEB, cpu="1")
    resources.change(session, app, WEB, "reserve", {"memory": "50"})
    resources.clear(session, app, WEB, "limit")
    assert sorted(session.properties.all(app.id, "resource")) == [
        "_default_.limit.memory",
        "web.reserve.memory",
    ]
    resources.clear(session, app, None, "limit")
    assert sorted(session.properties.all(app.id, "resource")) == ["web.reserve.memory"]


def test_what_the_scheduler_is_told(session: Session, app: App) -> None:
    options = parse(container_options(session, app, "deploy", WEB))
    assert options.host["Init"] is True and options.log_options == {"max-size": "10m"}
    assert options.restart == {"Name": "on-failure", "MaximumRetryCount": 10}
    session.properties.set(GLOBAL, "ps", "restart-policy", "always")
    session.properties.set(app.id, "logs", "max-size", "unlimited")
    session.properties.set(app.id, "scheduler-docker-local", "init-process", "false")
    options = parse(container_options(session, app, "deploy", WEB))
    assert options.host["Init"] is False and options.log_options == {"max-size": "-1"}
    assert options.restart == {"Name": "always", "MaximumRetryCount": 0}
    docker_options.add(session, app, ["deploy.web"], ["--restart=no"])
    assert parse(container_options(session, app, "deploy", WEB)).restart == {
        "Name": "no",
        "MaximumRetryCount": 0,
    }
    assert parse(container_options(session, app, "run")).restart is None


@pytest.mark.parametrize(
    ("policy", "code", "restarts", "stays"),
    [
        ("", 0, 10, False),
        ("no", 1, 0, True),
        ("always", 0, 0, False),
        ("unless-stopped", 1, 0, False),
        ("on-failure", 1, 99, False),
        ("on-failure", 0, 0, True),
        ("on-failure:3", 1, 2, False),
        ("on-failure:3", 1, 3, True),
    ],
)
def test_who_stays_ended(
    session: Session, app: App, policy: str, code: int, restarts: int, stays: bool
) -> None:
    session.properties.set(app.id, "ps", "restart-policy", policy)
    assert (
        resources.stays_ended(session, app, WEB, replace(ENDED, exit_code=code, restarts=restarts)) is stays
    )


def test_options_keep_their_order_and_are_added_once(session: Session, app: App) -> None:
    for given in (["-v", "/a:/b"], ["--cpus=1"], ["--volume=/a:/b"], ["-v /a:/b"]):
        docker_options.add(session, app, ["deploy", "run"], given)
    assert docker_options.listed(session, app, "deploy") == ["-v /a:/b", "--cpus=1"]
    docker_options.add(session, app, ["deploy.web"], ["--label", "x=a b"])
    assert docker_options.option_words(session, app, "deploy", WEB) == (
        "-v",
        "/a:/b",
        "--cpus=1",
        "--label",
        "x=a b",
    )
    assert docker_options.option_words(session, app, "deploy", WORKER) == ("-v", "/a:/b", "--cpus=1")
    assert docker_options.remove(session, app, ["deploy", "run", "build"], ["--label=x=y"]) == [
        "deploy",
        "run",
        "build",
    ]
    assert docker_options.remove(session, app, ["deploy", "run"], ["-v=/a:/b"]) == []
    assert docker_options.listed(session, app, "run") == ["--cpus=1"]
    docker_options.clear(session, app, "deploy", [WORKER])
    assert docker_options.all_scopes(session, app) == ["build", "deploy", "run", "deploy.web"]
    docker_options.clear(session, app, "deploy", [])
    assert docker_options.all_scopes(session, app) == ["build", "deploy", "run"]


def test_nothing_is_stored_where_one_phase_refuses(session: Session, app: App) -> None:
    with pytest.raises(BadOption):
        docker_options.add(session, app, ["deploy", "build"], ["-v", "/a:/b"])
    assert session.properties.all(app.id, "docker-options") == {}


def test_how_an_option_is_kept() -> None:
    assert normal(["-v", "/a:/b"], "deploy") == "-v /a:/b"
    assert normal(["-v /a:/b"], "deploy") == "-v /a:/b"
    assert normal(["--label=x=a b"], "deploy") == "'--label=x=a b'"
    assert normal(["--label", "x=a b"], "deploy") == "--label 'x=a b'"
    assert normal(["--label 'x=a b'"], "deploy") == "--label 'x=a b'"
    for bad in ([], [""], ["-v '/a"], ["-v /a:/b oops"], ["--privileged", "oops"], ["oops"]):
        with pytest.raises(BadOption):
            normal(bad, "deploy")


def test_phases() -> None:
    assert parse_phases("run,deploy,run") == ["run", "deploy"]
    for bad in ("", "deploy,", "Deploy", "deploy run"):
        with pytest.raises(InvalidPhase):
            parse_phases(bad)
    assert docker_options.scopes(["deploy"], [WEB, WORKER]) == ["deploy.web", "deploy.worker"]
    with pytest.raises(NotForProcess):
        docker_options.scopes(["deploy", "run"], [WEB])
