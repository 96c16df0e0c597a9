"""predeploy: what it changes in files stays in the release's image, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.images import BUSYBOX

from paas.deploy.phase import PhaseFailed, run_after, run_before
from paas.deploy.session import Session
from paas.engine.images import Image
from paas.model.names import AppName
from paas.model.release import WEB, Manifest, PhaseCommand, Release
from paas.store.apps import App

Build = Callable[..., str]
SECRET = "not-for-images"
ENTRYPOINT = """\
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir /etc /app; echo 'someone:x:1000:1000::/app:/bin/sh' > /etc/passwd; chown 1000 /app
ENV FROM_IMAGE=kept
LABEL own.label=kept
WORKDIR /app
USER someone
STOPSIGNAL SIGQUIT
EXPOSE 8080
ENTRYPOINT ["/bin/busybox"]
CMD ["httpd", "-f"]
"""


@pytest.fixture
def app(session: Session) -> Iterator[App]:
    made = session.apps.create(AppName("predeploy"))
    yield made
    session.apps.delete(made)


def release(app: App, image: str, *before: PhaseCommand, **manifest: Any) -> Release:
    found = Manifest({WEB: None}, before=before, **manifest)
    return Release(app.id, 1, "pending", 7, 0, "", "c" * 40, None, image, image, {"K": SECRET}, found, {})


def predeploy(command: str) -> PhaseCommand:
    return PhaseCommand("predeploy", "app.json", command)


def tagged(session: Session, name: str) -> tuple[Image, str]:
    """An image, and a name of its own that a release could have."""
    image = session.images.find(name)
    assert image is not None
    tag = f"{name.rpartition(':')[0]}:predeploy"
    session.images.tag(image.id, tag)
    return image, tag


def left_over(session: Session) -> list[str]:
    return session.containers.ids({"paas.root": str(session.settings.root), "paas.app": "predeploy"})


def run(session: Session, tag: str, *command: str) -> str:
    container = session.api.create_container(tag, list(command), entrypoint=[])["Id"]
    try:
        session.api.start(container)
        session.api.wait(container)
        return str(session.api.logs(container).decode())
    finally:
        session.api.remove_container(container, force=True)


@pytest.fixture(scope="session")
def with_entrypoint(build: Build) -> str:
    return build(ENTRYPOINT, busybox=BUSYBOX.read_bytes())


def test_an_entrypoint_runs_it_and_all_settings_of_the_image_stay(
    session: Session, app: App, with_entrypoint: str
) -> None:
    image, tag = tagged(session, with_entrypoint)
    command = predeploy("sh -c 'echo \"$K $FROM_IMAGE $(id -un) $(pwd)\" > made; test \"$K\" = not-for-images'")
    session.containers.ensure_network(session.network, {"paas.root": str(session.settings.root)})
    kept = run_before(session, app, release(app, tag, command), image, 7)
    assert kept.id != image.id and kept.tags == (tag,)
    before, after = (session.api.inspect_image(item.id)["Config"] for item in (image, kept))
    for key in ("Env", "Cmd", "Entrypoint", "User", "WorkingDir", "StopSignal", "ExposedPorts"):
        assert after[key] == before[key], key
    assert {key: value for key, value in after["Labels"].items() if value} == before["Labels"] | {"paas.app": "predeploy"}
    assert SECRET not in str(session.api.inspect_image(kept.id)) + str(session.api.history(kept.id))
    assert run(session, tag, "/bin/busybox", "cat", "made") == f"{SECRET} kept someone /app\n"
    assert left_over(session) == []
    session.images.untag(tag)


def test_what_comes_after_it_sees_what_it_made(
    session: Session, app: App, busybox: str, printed: Callable[[], str]
) -> None:
    image, tag = tagged(session, busybox)
    later = PhaseCommand("release", "Procfile", "cat /made")
    made = release(app, tag, predeploy("echo it > /made"), later, after=(later,))
    kept = run_before(session, app, made, image, 7)
    assert kept.entrypoint == () and kept.command == image.command
    assert printed().count("       it\n") == 1
    run_after(session, app, made, 7)
    assert printed().count("       it\n") == 2
    session.images.untag(tag)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("echo why; exit 3", "exit code 3"),
        ("false | true", "exit code 1"),
        ("false; true", "exit code 1"),
        ("kill -9 $$", "exit code 137"),
        ("/no/such/program", "exit code 127"),
    ],
)
def test_a_failure_leaves_the_image_as_it_was(
    session: Session, app: App, busybox: str, command: str, reason: str
) -> None:
    image, tag = tagged(session, busybox)
    with pytest.raises(PhaseFailed) as caught:
        run_before(session, app, release(app, tag, predeploy(command)), image, 7)
    assert f"Execution of predeploy task failed: {command} ({reason})" in str(caught.value)
    assert session.images.find(tag) == session.images.find(image.id)
    assert left_over(session) == []
    session.images.untag(tag)


def test_an_image_without_a_shell_says_so(session: Session, app: App, build: Build) -> None:
    name = build("FROM scratch\nCOPY busybox /program\nCMD [\"/program\"]\n", busybox=BUSYBOX.read_bytes())
    image, tag = tagged(session, name)
    with pytest.raises(PhaseFailed, match="/bin/sh") as caught:
        run_before(session, app, release(app, tag, predeploy("x")), image, 7)
    assert len(caught.value.lines) == 1 and left_over(session) == []
    session.images.untag(tag)


def test_app_json_says_which_tasks_it_does_not_have(
    session: Session, app: App, busybox: str, printed: Callable[[], str]
) -> None:
    image, tag = tagged(session, busybox)
    run_before(session, app, release(app, tag, app_json=True), image, 7)
    run_after(session, app, release(app, tag, app_json=True), 7)
    assert printed() == "".join(
        f"-----> Checking for {phase} task\n       No {phase} task found, skipping\n"
        for phase in ("predeploy", "release", "heroku.postdeploy", "postdeploy")
    )
    session.images.untag(tag)
