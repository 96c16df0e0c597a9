"""Secrets that are planted everywhere and used by every feature are found nowhere but where they belong: in the
containers' own environment, and in the router's private files of keys."""

from __future__ import annotations

import contextlib
import json
import shlex
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import docker
import pytest
from support import doors
from support.archives import tar_of
from support.doors import Door
from support.knock import Answer, knock
from support.planted import Secrets, Watch, described, images_of
from support.registry import Registry, running_registry
from support.repo import Repo
from support.server import Paas, run, running_paas

from paas.router.configuration import CONTROL_SOCKET
from paas.router.runtime import ask_once

PASSWORDS = {
    "value": "Vq1-config value/of+web",
    "global": "Gw2-for=all apps&more",
    "option": "Ox3-docker-option",
    "once": "Rn4-only for one run",
    "registry": "Py5-registry/password",
    "wrong": "Wr6-refused/password",
    "git": "Gt7-git:host password",
    "url": "Ul8-in-a-url",
    "visitor": "Vi9-http auth",
    "backup": "Bk0-passphrase of ours",
    "other": "Bk1-another passphrase",
}
# What COPY takes is in a layer; what is only mounted is in none.
DOCKERFILE = """FROM {base}
COPY index.html Procfile app.json /app/
RUN --mount=type=bind,target=/context . /context/.aptible.env && test ${{#TOKEN}} = {length}
RUN --mount=type=secret,id=aptible_env . /run/secrets/aptible_env && test ${{#TOKEN}} = {length}
"""
APP_JSON = {
    "scripts": {"dokku": {"predeploy": "test -n \"$TOKEN\"", "postdeploy": "test -n \"$TOKEN\""}},
    "cron": [{"command": "test -n \"$TOKEN\"", "schedule": "@yearly"}],
}


# What whoever may see an app asks for, and what an administrator asks for about it.
BOTH = (
    "report web", "report built", "apps:report web", "config:keys web --merged", "certs:report web", "http-auth:report web", "http-auth:list web", "registry:report web", "network:report web",
    "releases web --format json", "releases built --format json", "operations web --format json", "operations --num 500 --format json", "events", "logs web --num 500", "logs built --num 500",
    "logs web --router", "logs:failed web", "builds:list built --format json", "services web --format json", "metrics web", "run:list web --format json", "git:report built", "ps:inspect web",
    "ps:report web --trace", "doctor", "access:list", "disk:report", "git-upload-pack web",
)  # fmt: skip
# What a key with view or deploy may not ask for.
REFUSED = (
    "config:show web", "config:get web TOKEN", "config:export web", "config:bundle web", "docker-options:report web", "docker-options:list web", "certs:show web key", "run web env",
    "enter web web env", "backup:create", "git:auth-status 127.0.0.1:1",
)  # fmt: skip
# What shows an administrator what was typed, or is kept to be shown.
SHOWN = {"config:set --no-restart web": {"value"}, "config:set --global": {"global"}, "config:set built": {"value"}, "report web": {"option"}}


@dataclass
class Scene:
    """What was done, and all that was said to whom."""

    paas: Paas
    secrets: Secrets
    watch: Watch
    host: Door
    shown: dict[str, str] = field(default_factory=dict)
    limited: dict[str, str] = field(default_factory=dict)
    codes: dict[str, int | None] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)

    def admin(self, *words: str, input: bytes | str | None = None, codes: tuple[int, ...] = (0,)) -> Answer:
        """A command of an administrator's key, which ends with one of `codes`; none: with any."""
        answer = self._send("admin", words, input)
        name = " ".join(word for word in words if "=" not in word)
        self.shown[name] = self.shown.get(name, "") + answer.text
        assert not codes or answer.code in codes, f"{name}: {answer.code}\n{answer.text}"
        return answer

    def limited_key(self, name: str, *words: str) -> None:
        """A command of a key that has a role."""
        answer = self._send(name, words, None)
        self.codes[f"{name} {' '.join(words)}"] = answer.code
        self.limited[f"{name} {' '.join(words)}"] = answer.text

    def _send(self, key: str, words: Sequence[str], input: bytes | str | None) -> Answer:
        data = input.encode() if isinstance(input, str) else input or b""
        return knock(self.paas.root, [shlex.join(words).encode()], "ssh", self.keys[key], data)


@pytest.fixture(scope="module")
def private(engine: docker.DockerClient, image_names: dict[str, str]) -> Iterator[Registry]:
    with running_registry("127.0.0.1", {"ci": PASSWORDS["registry"]}, tls=False) as registry:
        registry.put("team/app", "1", "FROM paas-test/web\nENV GREETING=Secret\n")
        registry.put("team/base", "1", "FROM paas-test/shell\nENV GREETING=Base\n")
        registry.put("team/broken", "1", 'FROM paas-test/web\nCMD ["/bin/busybox", "false"]\n')
        yield registry


@pytest.fixture(scope="module")
def scene(
    engine: docker.DockerClient, private: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Every feature that touches a secret, once well and once badly."""
    certificate, key = certificate_and_key(tmp_path_factory.mktemp("certificate"))
    planted = PASSWORDS | {"certificate's key": key.splitlines()[3].decode()}
    with running_paas() as paas:
        secrets = Secrets(planted)
        with Watch(secrets) as watch:
            scene = Scene(paas, secrets, watch, doors.embedded(paas))
            paas.command("apps:create", "web").ok()
            for name, role in (("seer", "view"), ("shipper", "deploy")):
                public = scene.host.add_key(name)
                paas.command("ssh-keys:add", "--role", f"{role}:web", name, input=public).ok()
            with contextlib.closing(sqlite3.connect(f"file:{paas.root}/paas.db?mode=ro", uri=True)) as database:
                scene.keys = dict(database.execute("SELECT name, id FROM ssh_keys"))
            by_images(scene, private)
            by_git(scene, private, Repo(tmp_path_factory.mktemp("repo")))
            beside_deploys(scene, certificate, key)
            backups(scene)
            looked_at(scene)
        yield scene


def certificate_and_key(folder: Path) -> tuple[bytes, bytes]:
    """A certificate for web.example.com and its key."""
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=web.example.com", "-days", "9"]
    run([*words, "-keyout", str(folder / "key"), "-out", str(folder / "crt")]).ok()
    return (folder / "crt").read_bytes(), (folder / "key").read_bytes()


def by_images(scene: Scene, private: Registry) -> None:
    image, broken = private.name("team/app", "1"), private.name("team/broken", "1")
    login = ("--private-registry-username", "ci", "--private-registry-password", "-")
    scene.admin("config:set", "--no-restart", "web", f"TOKEN={PASSWORDS['value']}")
    scene.admin("config:set", "--global", f"SHARED={PASSWORDS['global']}")
    for name, password, code in ((image, "registry", 0), (image, "wrong", 1), (broken, "registry", 1)):
        words = ("deploy", "--trace", "--app", "web", "--docker-image", name, *login)
        scene.admin(*words, input=f"{PASSWORDS[password]}\n", codes=(code,))
    scene.admin("config:unset", "--no-restart", "web", "APTIBLE_PRIVATE_REGISTRY_USERNAME", "APTIBLE_PRIVATE_REGISTRY_PASSWORD")
    for password, code in (("wrong", 1), ("registry", 0)):
        scene.admin("registry:login", "--password-stdin", "web", private.host, "ci", input=PASSWORDS[password], codes=(code,))
    scene.admin("ps:rebuild", "web", "--trace")


def by_git(scene: Scene, private: Registry, repo: Repo) -> None:
    repo.write({
        "Dockerfile": DOCKERFILE.format(base=private.name("team/base", "1"), length=len(PASSWORDS["value"])),
        "index.html": "built\n", "Procfile": "web: exec httpd -f -p $PORT -h /app\n", "app.json": json.dumps(APP_JSON),
    })  # fmt: skip
    repo.commit()
    scene.admin("apps:create", "built")
    scene.admin("config:set", "built", f"TOKEN={PASSWORDS['value']}")
    scene.admin("registry:login", "built", private.host, "ci", PASSWORDS["registry"])
    repo.git("checkout", "-q", "-b", "broken").ok()
    repo.write({"Dockerfile": DOCKERFILE.format(base=private.name("team/base", "1"), length=0)})
    repo.commit()
    for branch, code in (("main", 0), ("broken", 1)):
        done = repo.push(scene.host.remote("built"), f"{branch}:main", scene.host.git_env())
        scene.shown[f"push {branch}"] = done.err
        assert done.code == code, done.err
    scene.admin("git:auth", "127.0.0.1:1", "ci", PASSWORDS["git"])
    scene.admin("git:generate-deploy-key")
    url = f"https://ci:{PASSWORDS['url']}@127.0.0.1:1/x"
    scene.admin("git:sync", "--trace", "built", "https://127.0.0.1:1/x.git", "main", codes=(1,))
    scene.admin("git:sync", "--trace", "built", f"{url}.git", "main", codes=(1,))
    scene.admin("git:from-archive", "built", f"{url}.tar", codes=(1,))
    scene.admin("apps:create", "unpacked")
    scene.admin("git:from-archive", "unpacked", "--", input=tar_of({"Dockerfile": b"FROM paas-test/web\n"}))


def beside_deploys(scene: Scene, certificate: bytes, key: bytes) -> None:
    scene.admin("domains:add", "web", "web.example.com")
    scene.admin("certs:add", "web", input=tar_of({"server.crt": certificate, "server.key": key}))
    scene.admin("certs:add", "built", input=tar_of({"server.crt": b"none", "server.key": key}), codes=(1,))
    scene.admin("http-auth:add-user", "web", "ann", input=f"{PASSWORDS['visitor']}\n")
    scene.admin("http-auth:add-user", "web", "bob", PASSWORDS["visitor"])
    scene.admin("http-auth:on", "web")
    scene.admin("docker-options:add", "web", "run", f"--env=OPTION={PASSWORDS['option']}")
    scene.admin("run", "--env", f"ONCE={PASSWORDS['once']}", "web", "busybox", "true")
    scene.admin("run:detached", "--env", f"ONCE={PASSWORDS['once']}", "web", "busybox", "sleep", "60")
    task = json.loads(scene.admin("cron:list", "built", "--format", "json").out)[0]["id"]
    scene.admin("cron:run", "built", task)
    scene.admin("ps:scale", "web", "web=2")
    scene.admin("releases:rollback", "web", codes=())
    scene.admin("checks:run", "web")


def backups(scene: Scene) -> None:
    made = scene.admin("backup:create", input=f"{PASSWORDS['backup']}\n")
    for command, password, code in (("verify", "backup", 0), ("verify", "other", 1), ("restore", "backup", 1)):
        scene.admin(f"backup:{command}", input=f"{PASSWORDS[password]}\n".encode() + made.out, codes=(code,))


def looked_at(scene: Scene) -> None:
    """Whatever limited keys may and may not ask for, and what tells an administrator anything but the values themselves."""
    records = map(json.loads, scene.admin("operations", "--num", "500", "--format", "json").out.splitlines())
    logs = [f"operation:logs {record['id']}" for record in records if record["id"]]
    for words in (*BOTH, *logs):
        scene.admin(*words.split(), codes=())
        scene.limited_key("shipper", *words.split())
    for words in (*BOTH, *REFUSED):
        scene.limited_key("seer", *words.split())
    for words in REFUSED:
        scene.limited_key("shipper", *words.split())


def test_no_process_list_has_one(scene: Scene) -> None:
    assert any(b"receive-pack" in line for line in scene.watch.seen), "nothing of the pushes was seen"
    assert scene.watch.found == set()


def test_no_answer_has_one(scene: Scene) -> None:
    assert any("Application deployed" in said for said in scene.shown.values())
    found = {words: names for words, said in scene.shown.items() if (names := scene.secrets.in_bytes(said.encode()))}
    assert found == SHOWN


def test_a_limited_key_sees_none(scene: Scene) -> None:
    assert scene.codes["seer report web"] == 0 and scene.codes["shipper operations web --format json"] == 0
    assert {code for words, code in scene.codes.items() if words.split(" ", 1)[1] in REFUSED} == {1}
    assert {words: names for words, said in scene.limited.items() if (names := scene.secrets.in_bytes(said.encode()))} == {}


def test_no_file_has_one_but_the_routers_key(scene: Scene) -> None:
    found = scene.secrets.in_files(scene.paas.root)
    keys = [name for name, names in found.items() if names == {"certificate's key"} and name.endswith(".pem")]
    assert len(keys) == 1
    path = scene.paas.root / keys[0]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {name: names for name, names in found.items() if name not in keys} == {}
    assert scene.secrets.in_bytes(scene.paas.log.read_bytes()) == set()


def test_keys_of_the_installation_are_in_their_own_files_only(scene: Scene) -> None:
    for own in ("secret.key", ".ssh/id_ed25519"):
        lines = (scene.paas.root / own).read_text(errors="replace").splitlines()
        line = max(lines, key=len)
        found = Secrets({own: line}).in_files(scene.paas.root)
        assert found == {own: {own}}
        assert stat.S_IMODE((scene.paas.root / own).stat().st_mode) == 0o600


def test_the_routers_runtime_has_none(scene: Scene) -> None:
    socket = scene.paas.root / "run" / CONTROL_SOCKET
    names = [line.split()[1].strip("()") for line in ask_once(socket, "show map").splitlines() if "(" in line]
    asked = ["show info", "show env", "show errors", "show servers state", "show ssl cert", "show sess all", *(f"show map {name}" for name in names)]
    said = "".join(ask_once(socket, words) for words in asked)
    assert "web" in said
    assert scene.secrets.in_bytes(said.encode()) == set()


def test_no_image_and_no_history_has_one(scene: Scene, engine: docker.DockerClient) -> None:
    images = images_of(engine, scene.paas)
    assert len(images) >= 3
    assert scene.secrets.in_images(engine, images) == {}
    told = described(engine, scene.paas)
    # The app's own variables are in its containers; nothing else of ours is anywhere.
    assert scene.secrets.in_bytes(told.encode()) == {"value", "global", "option", "once"}
