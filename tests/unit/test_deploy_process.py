"""How a process is described to the engine."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
from support.in_process import engine_image

from paas.deploy.containers.process import (
    UnreadableCommand,
    command_words,
    environment,
    one_off_spec,
    process_spec,
)
from paas.deploy.session import Session
from paas.model.names import ProcessType
from paas.model.release import WEB, Manifest, Release
from paas.store.apps import App
from paas.store.config import Config
from paas.store.properties import GLOBAL

PLAIN = engine_image()
WITH_ENTRYPOINT = dataclasses.replace(PLAIN, entrypoint=("/init", "--"))
WORKER = ProcessType("worker")


@pytest.fixture
def release(app: App) -> Release:
    manifest = Manifest({WEB: None, WORKER: "work $PORT 'a b'"}, port=8080)
    config = {"A": "own", "PORT": "1", "DYNO": "x", "APTIBLE_PRIVATE_REGISTRY_PASSWORD": "secret"}
    return Release(app.id, 3, "pending", 7, 0, "", "c" * 40, None, PLAIN.id, "paas-x/a:3", config, manifest, {})


def route_by(session: Session, publishes_ports: bool) -> None:
    session.router = SimpleNamespace(publishes_ports=publishes_ports)  # type: ignore[assignment]


def test_without_an_entrypoint_a_shell_reads_the_command() -> None:
    assert command_words("a && b 'c", PLAIN, "web") == ("/bin/sh", "-c", "a && b 'c")


def test_an_entrypoint_gets_words() -> None:
    line = "run 'a b' \"$X\" #c \\; d"
    assert command_words(line, WITH_ENTRYPOINT, "web") == ("run", "a b", "$X", "#c", ";", "d")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("serve $PORT ${PORT}/tcp :$PORT", ("serve", "80", "80/tcp", ":80")),
        ("serve \"a $PORT\" '$PORT' \\$PORT", ("serve", "a 80", "$PORT", "$PORT")),
        ("serve $OTHER ${OTHER} $ $1 $$ ${ $PORTS", ("serve", "$OTHER", "${OTHER}", "$", "$1", "$$", "${", "$PORTS")),
        ("serve $WORDS \"$WORDS\"", ("serve", "it's a \"$PORT\"", "it's a \"$PORT\"")),
        ("serve $EMPTY \"it's $PORT\"", ("serve", "", "it's 80")),
        ("sh -c 'exec $PORT \"$PORT\"'", ("sh", "-c", 'exec $PORT "$PORT"')),
        ("serve \ue000$PORT\ue000", ("serve", "80")),
    ],
)
def test_variables_in_the_words_for_an_entrypoint(line: str, words: tuple[str, ...]) -> None:
    values = {"PORT": "80", "WORDS": "it's a \"$PORT\"", "EMPTY": ""}
    assert command_words(line, WITH_ENTRYPOINT, "web", values) == words


def test_an_entrypoint_gets_variables_as_dokku_does_or_as_they_are_written() -> None:
    line = "serve --port $PORT '$PORT'"
    assert command_words(line, WITH_ENTRYPOINT, "web", {"PORT": "5000"})[2:] == ("5000", "$PORT")
    aptible = {"PORT": "5000", "APTIBLE_DOCKER_IMAGE": "x"}
    assert command_words(line, WITH_ENTRYPOINT, "web", aptible)[2:] == ("$PORT", "$PORT")


def test_an_entrypoint_can_not_get_an_unclosed_quote() -> None:
    with pytest.raises(UnreadableCommand, match="worker has an unclosed quote: it's"):
        command_words("it's", WITH_ENTRYPOINT, "worker")


def test_what_a_process_finds_in_its_environment(session: Session, app: App) -> None:
    Config(session.database, GLOBAL).replace({"A": "global", "B": "global", "APTIBLE_PRIVATE_REGISTRY_HOST": "h"})
    assert environment(session, app, {"A": "own", "APTIBLE_PRIVATE_REGISTRY_USERNAME": "u"}, "c0ffee") == {
        "A": "own",
        "B": "global",
        "GIT_REV": "c0ffee",
    }
    assert environment(session, app, {"GIT_REV": "mine"}, "c0ffee") == {"A": "global", "B": "global", "GIT_REV": "mine"}
    assert "GIT_REV" not in environment(session, app, {}, None)


def test_the_commit_is_told_under_the_name_that_was_set(session: Session, app: App) -> None:
    Config(session.database, GLOBAL).replace({})
    session.properties.set(app.id, "git", "rev-env-var", "COMMIT")
    assert environment(session, app, {}, "c0ffee") == {"COMMIT": "c0ffee"}
    session.properties.set(app.id, "git", "rev-env-var", "", keep_empty=True)
    assert environment(session, app, {}, "c0ffee") == {}


def test_web_is_told_its_port_and_the_image_its_own_command(session: Session, app: App, release: Release) -> None:
    route_by(session, publishes_ports=False)
    spec = process_spec(session, app, release, PLAIN, WEB, 2, 9)
    assert spec.command is None and spec.image == "paas-x/a:3" and spec.publish is None
    own = {name: value for name, value in spec.environment.items() if not name.startswith("APTIBLE_")}
    assert own == {"A": "own", "PORT": "8080", "DYNO": "web.2", "GIT_REV": "c" * 40}
    assert spec.labels == {
        "paas.root": str(session.settings.root),
        "paas.app": "a",
        "paas.release": "3",
        "paas.process-type": "web",
        "paas.process": "web.2",
        "paas.operation": "9",
    }
    assert spec.name.startswith("a.web.2.r3-") and spec.network == f"paas-{session.settings.root_id}"


def test_what_aptible_tells_its_containers(session: Session, app: App, release: Release) -> None:
    route_by(session, publishes_ports=False)
    release.config["APTIBLE_PROCESS_TYPE"] = "mine"
    session.properties.set(app.id, "resource", "worker.limit.memory", "512")
    values = process_spec(session, app, release, PLAIN, WORKER, 2, 9, count=3).environment
    assert {name: value for name, value in values.items() if name.startswith("APTIBLE_")} == {
        "APTIBLE_PROCESS_TYPE": "worker",
        "APTIBLE_PROCESS_INDEX": "1",
        "APTIBLE_PROCESS_CONTAINER_COUNT": "3",
        "APTIBLE_CONTAINER_SIZE": "512",
        "APTIBLE_CONTAINER_PROFILE": "m",
        "APTIBLE_LAYER": "app",
        "APTIBLE_GIT_REF": "c" * 40,
    }
    implicit = dataclasses.replace(release, manifest=dataclasses.replace(release.manifest, implicit=True))
    assert process_spec(session, app, implicit, PLAIN, WEB, 1, 9).environment["APTIBLE_PROCESS_TYPE"] == "cmd"
    bare = dataclasses.replace(release, image_tag="t", config={}, commit=None)
    short = one_off_spec(session, app, bare, "run", ("env",)).environment
    assert short.keys() & {"APTIBLE_PROCESS_CONTAINER_COUNT", "APTIBLE_GIT_REF"} == set()
    assert short["APTIBLE_CONTAINER_SIZE"] == "1024"


def test_without_a_router_web_is_published(session: Session, app: App, release: Release) -> None:
    route_by(session, publishes_ports=True)
    assert process_spec(session, app, release, PLAIN, WEB, 1, 9).publish == 8080
    assert process_spec(session, app, release, PLAIN, WORKER, 1, 9).publish is None


def test_other_types_run_their_line(session: Session, app: App, release: Release) -> None:
    route_by(session, publishes_ports=False)
    spec = process_spec(session, app, release, PLAIN, WORKER, 1, 9)
    assert spec.command == ("/bin/sh", "-c", "work $PORT 'a b'")
    assert spec.environment["PORT"] == "1", "only web gets ours"
    assert process_spec(session, app, release, WITH_ENTRYPOINT, WORKER, 1, 9).command == ("work", "1", "a b")


def test_two_containers_never_have_the_same_name(session: Session, app: App, release: Release) -> None:
    route_by(session, publishes_ports=False)
    names = {process_spec(session, app, release, PLAIN, WEB, 1, 9).name for _ in range(20)}
    assert len(names) == 20


def test_a_one_off_is_no_process_of_the_app(session: Session, app: App, release: Release) -> None:
    bare = dataclasses.replace(release, image_tag="t", config={"K": "v"}, commit=None)
    spec = one_off_spec(session, app, bare, "run", ("env",), tty=True, stdin=True)
    assert spec.environment["DYNO"].startswith("run.") and spec.environment["K"] == "v"
    assert "paas.process" not in spec.labels and "paas.operation" not in spec.labels
    assert (spec.tty, spec.stdin, spec.command) == (True, True, ("env",))
