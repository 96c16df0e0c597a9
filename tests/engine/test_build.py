"""From a commit to an image: BuildKit, the classic API, and builds that need no building."""

from __future__ import annotations

import hashlib
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker import APIClient

from paas.console import Console
from paas.deploy.build import build_source
from paas.deploy.session import Session
from paas.deploy.source import Source
from paas.deploy.sources.layout import NothingToBuild
from paas.engine.build import BuildFailed, BuildRequest, NeedsBuildkit, build_classic
from paas.engine.build import build as build_image
from paas.engine.build_options import parse
from paas.engine.context import FolderContext
from paas.engine.images import Images
from paas.errors import EngineFailed, PaasError
from paas.model.names import AppName
from paas.settings import Settings
from paas.store.apps import App

Build = Callable[..., None]
WAYS = ("buildkit", "classic")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Each builder in turn; the classic one is what an engine without BuildKit has."""
    return str(request.param)


@pytest.fixture
def build_by(way: str, settings: Settings, api: APIClient, console: Console, tmp_path: Path) -> Build:
    """`build_by("name:tag", "FROM …", file=b"…")`, each way in turn."""

    def run(tag: str, dockerfile: str, words: tuple[str, ...] = (), secrets: dict[str, bytes] | None = None, cache: str = "", **files: bytes) -> None:
        folder = tmp_path / "folder"
        folder.mkdir(exist_ok=True)
        for name, data in ({"Dockerfile": dockerfile.encode()} | files).items():
            (folder / name).write_bytes(data)
        labels = {"paas.root": str(settings.root), "paas.app": "a b=c"}
        secret = (secrets or {}).get
        what = BuildRequest(FolderContext(folder), tag, labels, secret=secret, options=parse(words), cache=cache)
        if way == "classic":
            build_classic(api, what, console)
        else:
            build_image(settings, api, what, console)

    return run


def test_a_build_does_what_its_options_say(
    build_by: Build, api: APIClient, busybox: str, tag: str, printed: Callable[[], str]
) -> None:
    words = (
        "--build-arg=TOKEN=a b", "--label=com.example=1", "--label=paas-test=yes", "--target=first", "--no-cache",
        "--add-host=db.internal:10.3.2.1", "--shm-size=32m",
    )  # fmt: skip
    dockerfile = f"FROM {busybox} AS first\nARG TOKEN\nRUN echo \"<$TOKEN>\" && cat /etc/hosts\nFROM {busybox}\nRUN exit 9\n"
    build_by(tag, dockerfile, words)
    said = printed()
    assert "<a b>" in said and "db.internal" in said
    labels = api.inspect_image(tag)["Config"]["Labels"]
    assert (labels["com.example"], labels["paas-test"], labels["paas.app"]) == ("1", "yes", "a b=c")


def test_a_secret_is_there_in_the_build_only_where_buildkit_is(
    build_by: Build, way: str, busybox: str, tag: str, tmp_path: Path, printed: Callable[[], str]
) -> None:
    (tmp_path / "npmrc").write_text("from-the-secret")
    dockerfile = f"FROM {busybox}\nRUN --mount=type=secret,id=npm cat /run/secrets/npm\n"
    words = (f"--secret=id=npm,src={tmp_path}/npmrc",)
    if way == "buildkit":
        build_by(tag, dockerfile, words)
        assert "from-the-secret" in printed()
    else:
        with pytest.raises(NeedsBuildkit, match=r"--secret needs BuildKit"):
            build_by(tag, dockerfile, words)


@pytest.fixture
def tag(settings: Settings) -> str:
    return f"paas-{settings.root_id}/built:1"


def test_a_build_tells_its_steps_and_leaves_a_labelled_image(
    build_by: Build, images: Images, api: APIClient, busybox: str, tag: str, settings: Settings, printed: Callable[[], str]
) -> None:
    build_by(tag, f"FROM {busybox}\nCOPY data /data\nRUN echo step-$((40 + 2)) && cat /data\nCMD [\"x\"]\n", data=b"from the context\n")
    image = images.find(tag)
    assert image is not None and image.command == ("x",)
    assert api.inspect_image(tag)["Config"]["Labels"] == {"paas.root": str(settings.root), "paas.app": "a b=c"}
    said = printed()
    assert "step-42" in said and "from the context" in said
    assert all(line.startswith("       ") for line in said.splitlines())
    images.untag(tag)


def test_a_build_that_fails_names_the_line(
    build_by: Build, images: Images, busybox: str, tag: str, printed: Callable[[], str]
) -> None:
    with pytest.raises(BuildFailed) as caught:
        build_by(tag, f"FROM {busybox}\nRUN echo before\nRUN echo $((6 * 7)) is wrong; exit 3\n")
    message = str(caught.value)
    assert len(caught.value.lines) == 1 and message.startswith("App build failed: ") and message.isprintable()
    assert "exit 3" in message and ": 3" in message
    assert "42 is wrong" in printed()
    assert images.find(tag) is None


@pytest.mark.parametrize(
    ("dockerfile", "word"),
    [
        ("FROM scratch\nCOPY nothing /x\n", "nothing"),
        ("FROM scratch\nNONSENSE x\n", "NONSENSE"),
        ("", "Dockerfile"),
        ("FROM paas-test.invalid/nope:1\n", "paas-test.invalid"),
    ],
)
def test_mistakes_in_a_dockerfile_are_one_line(
    build_by: Build, images: Images, tag: str, dockerfile: str, word: str
) -> None:
    with pytest.raises((BuildFailed, EngineFailed)) as caught:
        build_by(tag, dockerfile)
    assert len(caught.value.lines) == 1 and word.lower() in str(caught.value).lower()
    assert images.find(tag) is None


def test_control_characters_of_a_build_do_not_reach_the_terminal(
    build_by: Build, busybox: str, tag: str, images: Images, printed: Callable[[], str]
) -> None:
    build_by(tag, f"FROM {busybox}\nRUN printf 'a\\033[31mred\\033]0;title\\007\\n'\n")
    assert "red" in printed() and "\x1b" not in printed() and "\x07" not in printed()
    images.untag(tag)


def test_dockerignore_counts(build_by: Build, busybox: str, tag: str, images: Images, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name in ("kept/in", "out/in", "out/kept/in", "a/node_modules/x", "a-b", "a/b"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    ignore = b"# a comment\nout\n!out/kept\n**/node_modules\nDockerfile\n"
    build_by(tag, f"FROM {busybox}\nCOPY . /app\nRUN cd /app && find . -type f | sort > /found\n", **{".dockerignore": ignore})
    image = images.find(tag)
    assert image is not None
    found = images.read_files(image.id, ["/found"])["/found"].decode().split()
    # Whether the Dockerfile itself is there is told apart by the builders.
    assert [name for name in found if name != "./Dockerfile"] == ["./.dockerignore", "./a-b", "./a/b", "./kept/in", "./out/kept/in"]
    images.untag(tag)


def test_files_arrive_as_they_are(build_by: Build, busybox: str, tag: str, images: Images, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    big = bytes(range(256)) * 12_345
    (folder / "tool").write_text("#!/bin/sh\necho ran\n")
    (folder / "tool").chmod(0o755)
    (folder / "link").symlink_to("tool")
    (folder / "empty").touch()
    script = "RUN cd /app && ./link > /told && readlink link >> /told && stat -c '%n %a %u %s' tool empty big >> /told && sha256sum < big >> /told"
    build_by(tag, f"FROM {busybox}\nCOPY . /app\n{script}\n", big=big)
    image = images.find(tag)
    assert image is not None
    told = images.read_files(image.id, ["/told"])["/told"].decode().splitlines()
    assert told[:-1] == ["ran", "tool", "tool 755 0 19", "empty 644 0 0", f"big 644 0 {len(big)}"]
    assert told[-1].split()[0] == hashlib.sha256(big).hexdigest()
    images.untag(tag)


def test_the_next_build_sees_every_change(build_by: Build, busybox: str, tag: str, images: Images, tmp_path: Path, settings: Settings) -> None:
    """Also one that leaves a file's size as it was, and files that have gone."""
    script = f"FROM {busybox}\nCOPY . /app\nRUN cd /app && cat * > /all\n"
    for text, other in ((b"one\n", b"1\n"), (b"two\n", None)):
        if other is None:
            (tmp_path / "folder" / "other").unlink()
        build_by(tag, script, cache=f"test-{settings.root_id}", page=text, **({"other": other} if other else {}))
        image = images.find(tag)
        assert image is not None
        assert images.read_files(image.id, ["/all"])["/all"] == script.encode() + (other or b"") + text
    images.untag(tag)


def test_a_secret_is_asked_for_by_name_and_leaves_nothing_behind(
    settings: Settings, api: APIClient, console: Console, busybox: str, tag: str, tmp_path: Path, printed: Callable[[], str]
) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"FROM {busybox}\nRUN --mount=type=secret,id=TOKEN sha256sum < /run/secrets/TOKEN\n"
        "RUN --mount=type=secret,id=NOTHING test ! -e /run/secrets/NOTHING\n"
    )
    word = uuid.uuid4().hex.encode()
    secret = {"TOKEN": word, "OTHER": b"never asked"}.get
    build_image(settings, api, BuildRequest(FolderContext(tmp_path), tag, {}, secret=secret), console)
    assert hashlib.sha256(word).hexdigest() in printed()
    archive, history = b"".join(api.get_image(tag)), json.dumps(api.history(tag))
    Images(api).untag(tag)
    assert "/run/secrets/TOKEN" in history and b"/run/secrets/TOKEN" in archive
    assert word not in archive and word.decode() not in history


def test_a_mounted_cache_is_kept_and_belongs_to_one_name(
    settings: Settings, api: APIClient, console: Console, busybox: str, tag: str, tmp_path: Path, images: Images
) -> None:
    def count(cache: str) -> bytes:
        mark = uuid.uuid4().hex
        script = f"RUN --mount=type=cache,target=/kept echo {mark} >> /kept/list && wc -l < /kept/list > /count"
        (tmp_path / "Dockerfile").write_text(f"FROM {busybox}\n{script}\n")
        build_image(settings, api, BuildRequest(FolderContext(tmp_path), tag, {}, cache=cache), console)
        image = images.find(tag)
        assert image is not None
        return images.read_files(image.id, ["/count"])["/count"].strip()

    one, other = (f"test-{settings.root_id}-{uuid.uuid4().hex}" for _ in range(2))
    assert [count(one), count(one), count(other), count(one)] == [b"1", b"2", b"1", b"3"]
    images.untag(tag)


@pytest.fixture
def app(session: Session) -> Iterator[App]:
    made = session.apps.create(AppName("built"))
    session.repository(made).create("master")
    yield made
    session.repository(made).remove()
    session.apps.delete(made)


def commit(session: Session, app: App, tmp_path: Path, **files: str) -> str:
    """Commit these files to the app's repository."""
    repository = session.repository(app)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    work = ("-c", "core.bare=false", "-c", "user.name=x", "-c", "user.email=x", f"--work-tree={tmp_path}")
    for words in (("add", "--all"), ("commit", "--quiet", "--message", "x")):
        subprocess.run(
            [*repository.command(*work), *words], cwd=repository.path, env=repository.environment(), check=True
        )
    return repository.git("rev-parse", "HEAD").decode().strip()


def test_a_bare_from_is_only_tagged(
    session: Session, app: App, tmp_path: Path, busybox: str, images: Images, printed: Callable[[], str]
) -> None:
    built = build_source(session, app, Source(commit(session, app, tmp_path, Dockerfile=f"FROM {busybox}\n")), {}, 1)
    assert built.image == images.find(busybox) or built.image.id == images.names()[busybox]
    assert built.image_name == busybox and images.names()[built.tag] == built.image.id
    assert "Building" not in printed() and "Image exists on host, skipping pull" in printed()
    images.untag(built.tag)


def test_a_bare_from_of_an_image_with_onbuild_is_built(
    session: Session, app: App, tmp_path: Path, busybox: str, build: Callable[..., str], images: Images
) -> None:
    base = build(f"FROM {busybox}\nONBUILD COPY data /copied\n")
    built = build_source(session, app, Source(commit(session, app, tmp_path, Dockerfile=f"FROM {base}\n", data="x")), {}, 2)
    assert built.image_name == base and built.image.id != images.names()[base]
    assert images.read_files(built.image.id, ["/copied"]) == {"/copied": b"x"}
    images.untag(built.tag)


def test_a_dockerfile_is_built_from_the_commits_files(
    session: Session, app: App, tmp_path: Path, busybox: str, images: Images, printed: Callable[[], str]
) -> None:
    files = {"Dockerfile": f"FROM {busybox}\nCOPY . /app\n", "a": "1", ".gitattributes": "a export-ignore\n"}
    built = build_source(session, app, Source(commit(session, app, tmp_path, **files)), {}, 3)
    assert built.image_name is None and built.tag.endswith("/built:3")
    assert images.read_files(built.image.id, ["/app/a", "/app/Dockerfile"]) == {
        "/app/a": b"1",
        "/app/Dockerfile": files["Dockerfile"].encode(),
    }
    assert printed().startswith("-----> Building built from Dockerfile\n")
    images.untag(built.tag)


def test_a_base_that_became_another_image_is_not_overlooked(
    session: Session, app: App, tmp_path: Path, busybox: str, build: Callable[..., str], images: Images, printed: Callable[[], str]
) -> None:
    base = f"paas-{session.settings.root_id}/base:latest"

    def rebase(word: str) -> None:
        made = images.find(build(f"FROM {busybox}\nRUN echo {word} > /which\n"))
        assert made is not None
        images.tag(made.id, base)

    rebase("old")
    here = commit(session, app, tmp_path, Dockerfile=f"FROM {base}\nCOPY Dockerfile /seen\n")
    first = build_source(session, app, Source(here), {}, 5).image
    assert build_source(session, app, Source(here), {"OTHER": "config"}, 6).image == first
    assert printed().endswith("-----> These files of built were built before, using that image (ps:rebuild builds again)\n")
    assert build_source(session, app, Source(here), {}, 7, fresh=True).image.id == first.id
    assert printed().endswith("DONE 0.0s\n")
    rebase("new")
    other = build_source(session, app, Source(here), {}, 8).image
    assert images.read_files(other.id, ["/which"]) == {"/which": b"new\n"}
    # The first image is gone with its last name.
    for number in (5, 6, 7, 8):
        images.untag(f"paas-{session.settings.root_id}/built:{number}")
    assert images.find(first.id) is None
    rebase("old")
    assert images.find(build_source(session, app, Source(here), {}, 9).tag) is not None
    images.untag(f"paas-{session.settings.root_id}/built:9")
    images.untag(base)


def test_a_commit_that_can_not_be_built(session: Session, app: App, tmp_path: Path) -> None:
    with pytest.raises(NothingToBuild):
        build_source(session, app, Source(commit(session, app, tmp_path, other="x")), {}, 4)
    (tmp_path / "Dockerfile").symlink_to("other")
    with pytest.raises(PaasError, match="Dockerfile in the commit is a symbolic link"):
        build_source(session, app, Source(commit(session, app, tmp_path)), {}, 4)
