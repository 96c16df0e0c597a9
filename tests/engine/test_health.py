"""Whether a started process may serve."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from paas.deploy import health
from paas.deploy.containers.services import ServiceSettings
from paas.deploy.health import Subject, Unhealthy
from paas.engine.containers import Containers
from paas.model.names import ProcessType
from paas.model.release import WEB, Check, Manifest, Release

Start = Callable[..., str]
WORKER = ProcessType("worker")
USUAL = ServiceSettings(zero_downtime=False, simple_health_check=False, stop_seconds=30, memory_mb=None)
SERVE = ("httpd", "-f", "-p", "5000", "-h", "/www")


def release(*checks: Check, kind: ProcessType = WEB, timeout: int | None = None) -> Release:
    config = {"RELEASE_HEALTHCHECK_TIMEOUT": str(timeout)} if timeout else {}
    manifest = Manifest({WEB: None}, checks={kind: checks} if checks else {})
    return Release(1, 1, "pending", 1, 0, "", None, None, "i", "t", config, manifest, {})


@pytest.fixture
def check(start: Start, containers: Containers) -> Callable[..., list[str]]:
    """`check(release, "sleep", "9")`: start that command and check it as the release says."""

    def run(
        item: Release, *command: str, kind: ProcessType = WEB, health_test: tuple[str, ...] = (), abandoned: bool = False
    ) -> list[str]:
        container = start(*command)
        event = threading.Event()
        if abandoned:
            event.set()
        address = containers.state(container).address or "127.0.0.1"
        subject = Subject(container, f"{kind}.1", address, 5000, "a.localhost", event)
        return health.check(containers, subject, item, kind, health_test, USUAL)

    return run


Checking = Callable[..., list[str]]


def test_web_is_healthy_once_it_listens(check: Checking) -> None:
    assert check(release(), "sh", "-c", "sleep 0.3; exec httpd -f -p 5000") == []


def test_web_that_does_not_listen(check: Checking) -> None:
    with pytest.raises(Unhealthy, match=r"web\.1 did not become healthy: nothing listens on port 5000 after 1 s"):
        check(release(timeout=1), "sleep", "1000")


@pytest.mark.parametrize(
    ("code", "words"), [(3, "it exited with code 3$"), (0, r"it exited with code 0 \(it ended by itself\)$")]
)
def test_a_process_that_ends_is_told_at_once_with_its_exit_code(check: Checking, code: int, words: str) -> None:
    for kind, item in ((WEB, release()), (WORKER, release()), (WEB, release(Check("p", path="/", attempts=1000)))):
        with pytest.raises(Unhealthy, match=words):
            check(item, "sh", "-c", f"exit {code}", kind=kind)


def test_other_types_have_to_stay_up(check: Checking) -> None:
    assert check(release(), "sleep", "1000", kind=WORKER) == []
    with pytest.raises(Unhealthy, match=r"worker\.1 did not become healthy: it exited with code 4"):
        check(release(), "sh", "-c", "sleep 0.5; exit 4", kind=WORKER)


def test_the_images_own_healthcheck_counts_for_web(check: Checking) -> None:
    touch = ("sh", "-c", "sleep 0.3; touch /ok; sleep 1000")
    assert check(release(), *touch, health_test=("test", "-e", "/ok")) == []
    with pytest.raises(Unhealthy, match="its HEALTHCHECK did not pass within 1 s"):
        check(release(timeout=1), *touch, health_test=("false",))
    with pytest.raises(Unhealthy, match="its HEALTHCHECK did not pass within 1 s"):
        check(release(timeout=1), *touch, health_test=("nosuch",))


@pytest.mark.parametrize("hanging", [("sleep", "1000"), ("yes",)])
def test_a_command_that_hangs_does_not_pass(check: Checking, hanging: tuple[str, ...]) -> None:
    with pytest.raises(Unhealthy, match="its HEALTHCHECK did not pass within 1 s"):
        check(release(timeout=1), "sleep", "1000", health_test=hanging)
    with pytest.raises(Unhealthy, match="the check command did not pass within"):
        check(release(Check("c", command=hanging, attempts=2, timeout=0.3, wait=0)), "sleep", "1000")


def test_a_path_has_to_answer(check: Checking) -> None:
    assert check(release(Check("p", path="/")), *SERVE) == []
    assert check(release(Check("p", path="/", content="hello", headers=(("Host", "x.org"),))), *SERVE) == []


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (Check("p", path="/nope"), r"GET /nope did not pass within 1 s \(it answered 404\)"),
        (Check("p", path="/", content="bye"), "its answer does not hold 'bye'"),
        (Check("p", path="/", port=5001), r"GET / did not pass within 1 s \(.*refused"),
        (Check("l", listening=True, port=5001), "nothing listens on port 5001 after 1 s"),
        (Check("c", command=("false",)), "the check command did not pass within 1 s"),
    ],
)
def test_a_check_that_does_not_pass(check: Checking, item: Check, words: str) -> None:
    short = Check(**{**vars(item), "attempts": 1, "timeout": 1})
    with pytest.raises(Unhealthy, match=words):
        check(release(short), *SERVE)
    warnings = check(release(Check(**{**vars(short), "warn_only": True})), *SERVE)
    assert len(warnings) == 1 and "web.1" in warnings[0]


def test_a_check_that_only_warns_does_not_hide_an_exit(check: Checking) -> None:
    with pytest.raises(Unhealthy, match="it exited with code 6"):
        check(release(Check("p", path="/", warn_only=True)), "sh", "-c", "exit 6")


def test_all_checks_have_to_pass_in_turn(check: Checking) -> None:
    listening, command, uptime = Check("l", listening=True), Check("c", command=("test", "-d", "/www")), Check("u", uptime=1)
    assert check(release(listening, command, uptime), *SERVE) == []
    with pytest.raises(Unhealthy, match="check command"):
        check(release(listening, Check("c", command=("false",), attempts=1, timeout=0.2), uptime), *SERVE)


@pytest.mark.parametrize("item", [Check("u", uptime=2), Check("d", listening=True, initial_delay=2)])
def test_an_end_during_a_wait_is_noticed(check: Checking, item: Check) -> None:
    with pytest.raises(Unhealthy, match="it exited with code 5"):
        check(release(item), "sh", "-c", "sleep 0.3; exit 5")


def test_nobody_waits_for_an_abandoned_process(check: Checking) -> None:
    with pytest.raises(Unhealthy):
        check(release(timeout=900), "sleep", "1000", abandoned=True)
