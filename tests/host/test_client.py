"""`paas -H host …` on a laptop with an engine of its own, over both doors: what is sent, what is told, what goes on after a break."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from support.clients import Client
from support.doors import HOST, Door
from support.images import SHELL, STATIC
from support.private_engine import PrivateEngine, private_engine
from support.relay import Relay, relay
from support.repo import Repo
from support.server import STUB, Paas, Result, run

from paas.client import docker
from paas.client.layered import Layered
from paas.client.saved import Saved
from paas.errors import NO_SUCH_APP
from paas.model.layers import CONFIG, END, MAGIC, SEND_ALL, Answer, Question, frame
from paas.settings import Settings

PROGRAM = [sys.executable, "-P", "-m", "paas.client"]
NUMBERS = itertools.count(1)
MB = 1024 * 1024
# The windows and buffers of ssh, sockets and pipes, generously.
IN_FLIGHT_BYTES = 12 * MB
# What the issue allows beyond the missing layers.
SLACK_BYTES = 64 * 1024


@pytest.fixture(scope="module")
def laptop(image_names: dict[str, str]) -> Iterator[PrivateEngine]:
    """The engine of somebody's laptop."""
    with private_engine([STATIC.tag, SHELL.tag]) as engine:
        yield engine


class Laptop:
    """A user with a key, an engine and no paas: `paas WORDS` there."""

    def __init__(self, door: Door, engine: PrivateEngine, folder: Path) -> None:
        self.door, self.engine, self.folder = door, engine, folder
        self.config = folder / "ssh_config"
        self.config.write_text(door.ssh_config.read_text())
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PAAS_")}
        self.env = kept | {
            "PYTHONPATH": door.paas.env["PYTHONPATH"],
            "DOCKER_HOST": engine.host,
            "PAAS_SSH": f"ssh -F {self.config}",
            "GIT_CEILING_DIRECTORIES": "/",
        }
        self.user = re.findall(r"User (\w+)", self.config.read_text())[0]
        self.host = f"{self.user}@{HOST}"

    def paas(self, *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, input: bytes = b"") -> Result:
        return run([*PROGRAM, *words], env=self.env | (env or {}), cwd=cwd or self.folder, input=input)

    def to_host(self, *words: str, **more: object) -> Result:
        return self.paas("-H", self.host, *words, **more)  # type: ignore[arg-type]

    def ssh_program(self, before: str) -> None:
        """Let ssh be a program that does this first."""
        self.env["PAAS_SSH"] = f"{self._program('ssh', before)} -F {self.config}"

    def docker_program(self, before: str) -> None:
        """The same for Docker's client."""
        self._program("docker", before)
        self.env["PATH"] = f"{self.folder / 'bin'}:{os.environ['PATH']}"

    def _program(self, name: str, before: str) -> Path:
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        real = shutil.which(name)
        lines = [f"#!{sys.executable} -IS", "import os, subprocess, sys", textwrap.dedent(before).strip()]
        path.write_text("\n".join([*lines, f"os.execv({real!r}, [{real!r}, *sys.argv[1:]])", ""]))
        path.chmod(0o755)
        return path

    def through(self, link: Relay) -> None:
        """From now on over this link."""
        self.config.write_text(re.sub(r"Port \d+", f"Port {link.port}", self.config.read_text()))

    @property
    def root_id(self) -> str:
        """What the host's names are recognised by when the test is over."""
        return Settings.from_environment({"PAAS_ROOT": str(self.door.paas.root)}).root_id

    @property
    def port(self) -> int:
        return int(re.findall(r"Port (\d+)", self.door.ssh_config.read_text())[0])

    def image(self, name: str, *layers: bytes, base: str = STATIC.tag) -> str:
        """Build one: `base` and a layer for each of these files. Its whole name."""
        name = f"paas-test-{self.root_id}/{name}"
        folder = self.folder / "context"
        folder.mkdir(exist_ok=True)
        for number, data in enumerate(layers):
            (folder / str(number)).write_bytes(data)
        lines = [f"COPY {number} /layer-{number}\n" for number in range(len(layers))]
        (folder / "Dockerfile").write_text(f"FROM {base}\n{''.join(lines)}")
        built = self.engine.docker("build", "--quiet", "--tag", name, str(folder))
        assert built.returncode == 0, built.stderr
        return name


@pytest.fixture
def user(door: Door, laptop: PrivateEngine, tmp_path: Path) -> Laptop:
    return Laptop(door, laptop, tmp_path)


@pytest.fixture
def near(host: Door, laptop: PrivateEngine, tmp_path: Path) -> Laptop:
    """The same through the embedded door, where the way in makes no difference."""
    return Laptop(host, laptop, tmp_path)


@pytest.fixture
def app(paas: Paas) -> str:
    name = f"app-{next(NUMBERS)}"
    paas.command("apps:create", name).ok()
    return name


@pytest.fixture
def link(user: Laptop) -> Iterator[Relay]:
    """Between the user and the host."""
    with relay(user.port) as link:
        user.through(link)
        yield link


def test_a_second_deploy_sends_only_the_layer_that_changed(
    user: Laptop, paas: Paas, app: str, link: Relay, laptop: PrivateEngine
) -> None:
    base = user.image(f"{app}-base", os.urandom(8 * MB))
    first = user.to_host("git:load-image", app, user.image(f"{app}:1", b"one", base=base))
    assert "-----> Sending 4 of 4 layers\n" in first.ok() and "=====> Application deployed:" in first.out
    assert link.sent > 8 * MB and paas.http_get(app, "/layer-0").body == "one"
    sent = link.sent + link.received
    second = user.image(f"{app}:2", os.urandom(MB), base=base)
    assert "-----> Sending 1 of 4 layers\n" in user.to_host("git:load-image", app, second).ok()
    assert MB < link.sent + link.received - sent <= 1.02 * (MB + 2048) + SLACK_BYTES
    assert laptop.docker("ps", "--all", "--quiet").stdout == ""
    again = user.to_host("git:load-image", app, second)
    assert f"-----> The host has {second}\nLoaded image: {second}\n" in again.ok()
    assert "No changes detected" in again.out


def test_a_broken_connection_goes_on_where_it_broke(user: Laptop, paas: Paas, app: str, link: Relay) -> None:
    image = user.image(f"{app}:1", os.urandom(12 * MB), os.urandom(12 * MB))
    link.cut_after = 20 * MB
    done = user.to_host("git:load-image", app, image)
    assert "The connection broke" in done.err and "have arrived already" in done.ok()
    # What was on its way when it broke is sent twice.
    assert link.sent < 24 * MB + IN_FLIGHT_BYTES
    assert not any((paas.root / "uploads").iterdir())


def test_a_send_that_was_given_up_goes_on_with_the_next(
    user: Laptop, app: str, link: Relay, start: Callable[..., Client]
) -> None:
    image = user.image(f"{app}:1", os.urandom(24 * MB))
    link.cut_after = 16 * MB
    process = start([*PROGRAM, "-H", user.host, "git:load-image", app, image], user.env, user.folder)
    process.says("The connection broke")
    process.send(signal.SIGINT)
    assert process.ends() == 130
    done = user.to_host("git:load-image", app, image)
    assert re.search(r"of which \d+\.\d MB have arrived already", done.ok())
    assert link.sent < 24 * MB + IN_FLIGHT_BYTES


def test_what_was_pruned_meanwhile_is_sent_after_all(near: Laptop, paas: Paas, app: str) -> None:
    base = near.image(f"{app}-base", os.urandom(MB))
    before = near.image(f"{app}:1", b"one", base=base)
    near.to_host("git:load-image", app, before).ok()
    image = near.image(f"{app}:2", b"two", base=base)
    # After the question, before the answer is made use of.
    commands = [[str(STUB), "apps:destroy", app, "--force"], [str(STUB), "apps:create", app]]
    near.ssh_program(f"""
        if "--layers" in sys.argv:
            for command in {[*commands, [shutil.which("docker"), "image", "rm", before]]}:
                subprocess.run(command, env={paas.env}, stdout=2, check=True)
    """)
    done = near.to_host("git:load-image", app, image)
    assert "-----> Sending 1 of 4 layers" in done.ok() and f"-----> Sending all of {image}" in done.out
    assert "The image can't be put together: the host does not have all of the layers" in done.err
    assert paas.http_get(app, "/layer-0").body == "two"


def test_a_host_that_knows_no_layers_gets_all_of_the_image(near: Laptop, paas: Paas, app: str) -> None:
    near.ssh_program("""
        if "git:layers" in sys.argv:
            sys.exit(" !     `git:layers` is not a paas command. See paas help")
    """)
    image = near.image(f"{app}:1", b"one")
    done = near.to_host("git:load-image", app, image)
    assert f"-----> Sending all of {image}" in done.ok() and paas.http_get(app, "/layer-0").body == "one"


def test_an_engine_that_shows_nobody_its_folder_saves_the_image(near: Laptop, paas: Paas, app: str) -> None:
    base = near.image(f"{app}-base", os.urandom(MB))
    near.docker_program("""
        if sys.argv[1] == "container":
            sys.exit("authorization denied")
    """)
    near.to_host("git:load-image", app, near.image(f"{app}:1", b"one", base=base)).ok()
    done = near.to_host("git:load-image", app, near.image(f"{app}:2", b"two", base=base))
    assert "-----> Sending 1 of 4 layers" in done.ok() and paas.http_get(app, "/layer-0").body == "two"


def test_layers_come_out_of_the_engine_byte_by_byte(
    laptop: PrivateEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is in them: their digest is their name."""
    with tarfile.open(tmp_path / "files.tar", "w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as archive:
        for name, size in (("z/last", 5), ("a/first", 70_000), ("empty", 0), ("long/" + "n" * 220, 9), ("grüße/\udcff", 3)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime, entry.uid = size, 0o4751, 1_600_000_000, 1234
            archive.addfile(entry, io.BytesIO(os.urandom(size)))
        for name, kind, target in (("b/hard", tarfile.LNKTYPE, "a/first"), ("soft", tarfile.SYMTYPE, "a/../z"), ("fifo", tarfile.FIFOTYPE, "")):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            archive.addfile(entry)
    run_line = "RUN rm /z/last && rm -r /a && mkdir /a && echo new >/a/new && ln /a/new /a/0 && chmod 700 /long\n"
    (tmp_path / "Dockerfile").write_text(f"FROM {SHELL.tag}\nADD files.tar /\n{run_line}RUN true\n")
    built = laptop.docker("build", "--quiet", "--tag", "tricky", str(tmp_path))
    assert built.returncode == 0, built.stderr
    # Of an import the engine keeps the order, in which docker cp does not give it.
    imported = laptop.docker("import", str(tmp_path / "files.tar"), "ordered")
    assert imported.returncode == 0, imported.stderr
    monkeypatch.setenv("DOCKER_HOST", laptop.host)
    for image in map(docker.find, ("tricky", "ordered")):
        with contextlib.closing(Layered(image)) as layered:
            layered.open()
            for diff_id in image.layers:
                layer = layered.layer(diff_id)
                data = b"".join(layer.chunks())
                assert (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}") == (layer.size, diff_id)
            assert f"sha256:{hashlib.sha256(layered.config()).hexdigest()}" == image.id
        saved = {diff_id: b"".join(layer.chunks()) for diff_id, layer in Saved(image).layers(image.layers)}
        assert saved.keys() == set(image.layers)
        assert all(f"sha256:{hashlib.sha256(data).hexdigest()}" == diff_id for diff_id, data in saved.items())


def test_a_limited_key_learns_nothing_of_other_apps(user: Laptop, paas: Paas, door: Door, app: str) -> None:
    other = user.image(f"{app}-other", b"a secret")
    paas.command("apps:create", f"{app}-other").ok()
    user.to_host("git:load-image", f"{app}-other", other).ok()
    key = f"limited-{app}"
    paas.command("ssh-keys:add", "--role", f"deploy:{app}", key, input=door.add_key(key)).ok()
    user.config.write_text(door.ssh_config.read_text())
    layers = json.loads(user.engine.docker("image", "inspect", other).stdout)[0]
    question = Question(layers["Id"], tuple(layers["RootFS"]["Layers"]))
    host = f"{user.user}@{key}"
    asked = user.paas("-H", host, "git:layers", app, other, input=question.to_json().encode())
    assert Answer.parse(asked.ok()) == Answer()
    assert user.paas("-H", host, "git:layers", f"{app}-other", other, input=b"{}").code == NO_SUCH_APP
    # Nor by leaving out what the engine has, but not for this app.
    config_bytes = json.dumps({"os": "linux", "rootfs": {"type": "layers", "diff_ids": question.layers}}).encode()
    for stream in (frame(CONFIG, config_bytes), frame(b"I", question.image.encode())):
        words = ["git:load-image", "--stdin", "--layers", app, other]
        guessed = user.paas("-H", host, *words, input=MAGIC + stream + frame(END))
        assert guessed.code == SEND_ALL and "The image can't be put together: the host does not have" in guessed.err
    # An administrator may be told.
    asked = user.to_host("git:layers", app, other, input=question.to_json().encode())
    assert Answer.parse(asked.ok()).held == len(question.layers)


def test_what_goes_wrong_is_said_in_a_line(user: Laptop, paas: Paas, door: Door, app: str) -> None:
    image = user.image(f"{app}:1", b"one")
    missing = user.to_host("git:load-image", f"{app}-none", image)
    assert missing.code == NO_SUCH_APP and f"App {app}-none does not exist" in missing.err
    nothing = user.to_host("git:load-image", app, "no-such-image:1")
    assert nothing.code == 1 and " !     There is no image no-such-image:1 on this machine." in nothing.err
    engine = user.to_host("git:load-image", app, image, env={"DOCKER_HOST": "unix:///nowhere.sock"})
    assert engine.code == 1 and engine.err.startswith(" !     Docker on this machine does not give the image: ")
    nowhere = user.paas("-H", "nowhere.invalid", "apps:list")
    assert nowhere.code == 255 and "nowhere.invalid" in nowhere.err
    nobody = user.paas("apps:list")
    assert nobody.code == 2 and "Which host?" in nobody.err
    for bad in ("-oProxyCommand=x", "a b", "a@b@c", "host:0", "host:x", ""):
        refused = user.paas("-H", bad, "apps:list")
        assert refused.code == 2 and len(refused.err.splitlines()) == 1
    for words in (("git:load-image",), ("git:load-image", app)):
        asked = user.to_host(*words)
        assert asked.code == 1 and len(asked.err.splitlines()) == 1
    door.add_key(f"stranger-{app}")
    user.config.write_text(door.ssh_config.read_text())
    stranger = user.paas("-H", f"{user.user}@stranger-{app}", "git:load-image", app, image)
    assert stranger.code != 0 and stranger.err
    program = user.to_host("apps:list", env={"PAAS_SSH": "/nowhere/ssh"})
    assert program.code == 1 and "The program /nowhere/ssh can't be started" in program.err


def test_any_command_goes_there_as_it_is(near: Laptop, paas: Paas, app: str) -> None:
    near.to_host("config:set", "--no-restart", app, "WORDS=two words; $HOME 'and' \"quotes\"").ok()
    assert near.to_host("config:get", app, "WORDS").ok() == "two words; $HOME 'and' \"quotes\"\n"
    assert near.to_host("config:get", app, "NOTHING").code == 1
    image = near.image(f"{app}:1", b"one")
    archive = subprocess.run(["docker", "image", "save", image], env=near.env, stdout=subprocess.PIPE, check=True).stdout
    near.to_host("git:load-image", "--stdin", app, image, input=archive).ok()
    assert paas.http_get(app, "/layer-0").body == "one"
    port = f"{near.host}:{near.port}"
    assert app in near.paas("apps:list", env={"PAAS_HOST": port}).ok().split()
    stub = run([str(STUB), "-H", near.host, "apps:list"], env=near.env | {"PAAS_PYTHON": sys.executable}, cwd=near.folder)
    assert app in stub.ok().split()


def test_the_git_remote_says_which_host_and_app(near: Laptop, paas: Paas, app: str) -> None:
    repo = Repo(near.folder / "work")
    repo.git("remote", "add", "origin", "git@elsewhere.invalid:somebody/else.git")
    repo.git("remote", "add", "paas", f"{near.host}:{app}")
    near.paas("config:set", "--no-restart", "A=1", cwd=repo.path).ok()
    assert near.paas("config:get", app, "A", cwd=repo.path).ok() == "1\n"
    assert app in near.paas("apps:list", cwd=repo.path).ok().split()
    image = near.image(f"{app}:1", b"one")
    assert "=====> Application deployed:" in near.paas("git:load-image", image, cwd=repo.path).ok()
    assert paas.http_get(app, "/layer-0").body == "one"
