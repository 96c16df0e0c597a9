"""Dokku's clients, pointed at paas: ssh as people type it, and tasks that bring an app to a state and say whether they had to.

The tasks read and act as Ansible's modules for Dokku do: what they run is what those run, and they decide by the same
exit codes, words and lines.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from support.doors import Door
from support.server import Paas, Result, run
from support.transcript import play

APP = "node-js-app"


@pytest.fixture
def app(host: Door) -> Iterator[str]:
    """An app that is there for one test, whatever becomes of it."""
    dokku(host, "apps:create", APP).ok()
    yield APP
    dokku(host, "--force", "apps:destroy", APP)


def dokku(host: Door, *words: str, options: tuple[str, ...] = (), input: str | None = None) -> Result:
    """`ssh OPTIONS dokku@host -- WORDS`, as Dokku's own client does: without the dashes ssh takes --quiet for its own."""
    command = ["ssh", "-F", str(host.ssh_config), *options, "dokku@host", "--", *words]
    return run(command, env=host.paas.env, input=input)


class Tasks:
    """One run of a playbook: each task returns whether it changed something."""

    def __init__(self, host: Door, app: str) -> None:
        self.host = host
        self.app = app
        self.changed: list[str] = []

    def ask(self, *words: str) -> Result:
        return dokku(self.host, *words)

    def act(self, *words: str) -> None:
        self.changed.append(words[0])
        result = dokku(self.host, *words)
        assert result.code == 0, (words, result)

    def app_present(self) -> None:
        found = self.ask("--quiet", "apps:exists", self.app)
        assert found.out == "" and found.code in (0, 20)
        if found.code:
            assert found.err == f" !     App {self.app} does not exist\n"
            self.act("apps:create", self.app)

    def config(self, **wanted: str) -> None:
        exported = json.loads(self.ask("config:export", "--format", "json", self.app).ok())
        lines = self.ask("--quiet", "config:show", self.app).ok().splitlines()
        shown = {key: value.strip() for key, _, value in (line.partition(":") for line in lines if line)}
        assert exported == shown
        missing = [f"{key}={value}" for key, value in wanted.items() if exported.get(key) != value]
        if missing:
            self.act("config:set", "--no-restart", self.app, *missing)

    def domains(self, *wanted: str) -> None:
        assert self.ask("--quiet", "domains:report", self.app, "--domains-app-enabled").ok() == "true\n"
        there = self.ask("--quiet", "domains:report", self.app, "--domains-app-vhosts").ok().split()
        for domain in (domain for domain in wanted if domain not in there):
            self.act("domains:add", self.app, domain)

    def storage(self, *wanted: str) -> None:
        there = [line.strip() for line in self.ask("--quiet", "storage:list", self.app).ok().splitlines()]
        entries = json.loads(self.ask("storage:list", self.app, "--format", "json").ok())
        assert there == [f"{entry['host_path']}:{entry['container_path']}" for entry in entries]
        for mount in (mount for mount in wanted if mount not in there):
            self.act("storage:mount", self.app, mount)

    def ports(self, *wanted: str) -> None:
        listed = self.ask("--quiet", "ports:list", self.app)
        rows = {":".join(line.split()) for line in listed.out.splitlines()}
        there = self.ask("--quiet", "ports:report", self.app, "--ports-map").ok().split()
        assert rows == set(there)
        assert listed.code == (0 if there else 1)
        for port in (port for port in wanted if port not in there):
            self.act("ports:add", self.app, port)

    def network(self, name: str) -> None:
        found = self.ask("--quiet", "network:exists", name)
        if found.code:
            assert "Network does not exist" in found.err
            self.act("network:create", name)
        if self.ask("network:report", self.app, "--network-attach-post-deploy").ok() != f"{name}\n":
            self.act("network:set", self.app, "attach-post-deploy", name)

    def checks(self, *skipped: str) -> None:
        if self.ask("--quiet", "checks:report", self.app, "--checks-skipped-list").ok().strip() != ",".join(
            skipped
        ):
            self.act("checks:skip", self.app, ",".join(skipped))

    def docker_option(self, option: str) -> None:
        there = self.ask("--quiet", "docker-options:report", self.app, "--docker-options-deploy").ok()
        if option not in there:
            self.act("docker-options:add", self.app, "deploy", f"'{option}'")

    def memory(self, limit: str) -> None:
        lines = self.ask("--quiet", "resource:limit", self.app).ok().splitlines()
        there = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        if there.get("memory") != limit:
            self.act("resource:limit", "--memory", limit, self.app)

    def deployed(self, image: str) -> None:
        if self.ask("ps:report", self.app, "--deployed").ok() == "false\n":
            self.act("git:from-image", self.app, image)
        if self.ask("git:report", self.app, "--git-source-image").ok() != f"{image}\n":
            self.act("git:from-image", self.app, image)

    def scale(self, **wanted: int) -> None:
        lines = self.ask("--quiet", "ps:scale", self.app).ok().splitlines()
        there = {kind: int(count) for kind, count in (line.split(":") for line in lines)}
        missing = [f"{kind}={count}" for kind, count in wanted.items() if there.get(kind) != count]
        if missing:
            self.act("ps:scale", self.app, *missing)


def run_playbook(host: Door, folder: Path, network: str) -> list[str]:
    """The playbook. Returns the commands that changed something."""
    tasks = Tasks(host, "ansible-app")
    tasks.app_present()
    tasks.config(ENV="prod", COMPILE_ASSETS="1", SQUARE="a=b")
    tasks.domains("ansible.example.com", "www.ansible.example.com")
    tasks.storage(f"{folder}:/storage", "ansible-data:/data")
    tasks.ports("http:80:5000")
    tasks.network(network)
    tasks.checks("worker")
    tasks.docker_option("--label com.example.test=1")
    tasks.memory("64")
    tasks.deployed("paas-test/web")
    tasks.scale(web=2)
    return tasks.changed


def state(host: Door) -> str:
    """All that is known about the app, but for what only tells the time."""
    found = ""
    for kind in (
        "apps",
        "ps",
        "domains",
        "ports",
        "storage",
        "network",
        "checks",
        "docker-options",
        "resource",
        "git",
    ):
        found += dokku(host, f"{kind}:report", "ansible-app", "--format", "json").ok()
    found += (
        dokku(host, "config:export", "ansible-app").ok() + dokku(host, "operations", "--format", "json").ok()
    )
    return found


@pytest.fixture
def network(engine: docker.DockerClient) -> Iterator[str]:
    """The name of a network of this run; gone afterwards."""
    name = f"paas-test-ansible-{os.getpid()}"
    yield name
    for found in engine.networks.list(names=[name]):
        found.remove()


def test_the_second_run_of_a_playbook_changes_nothing(
    paas: Paas,
    host: Door,
    engine: docker.DockerClient,
    image_names: dict[str, str],
    tmp_path: Path,
    network: str,
) -> None:
    folder = tmp_path / "storage"
    folder.mkdir()
    changed = run_playbook(host, folder, network)
    assert changed == [
        "apps:create",
        "config:set",
        "domains:add",
        "domains:add",
        "storage:mount",
        "storage:mount",
        "ports:add",
        "network:create",
        "network:set",
        "checks:skip",
        "docker-options:add",
        "resource:limit",
        "git:from-image",
        "ps:scale",
    ]
    before = state(host)
    containers = {item.id for item in engine.containers.list(filters={"label": f"paas.root={paas.root}"})}
    assert len(containers) == 2
    assert run_playbook(host, folder, network) == []
    assert state(host) == before
    assert {
        item.id for item in engine.containers.list(filters={"label": f"paas.root={paas.root}"})
    } == containers
    assert paas.http_get("ansible.example.com").status == 200
    inspected = engine.containers.get(containers.pop()).attrs
    assert inspected["Config"]["Labels"]["com.example.test"] == "1"
    assert inspected["HostConfig"]["Memory"] == 64 * 1024 * 1024
    assert network in inspected["NetworkSettings"]["Networks"]
    assert {mount["Destination"] for mount in inspected["Mounts"]} == {"/storage", "/data"}
    assert {"ENV=prod", "SQUARE=a=b"} <= set(inspected["Config"]["Env"])
    dokku(host, "apps:destroy", "ansible-app", "--force").ok()


def test_what_is_done_twice_says_so(host: Door) -> None:
    dokku(host, "apps:create", "twice").ok()
    for words, code, out, err in (
        (("apps:create", "twice"), 1, "", " !     Name is already taken\n"),
        (("domains:add", "twice", "twice.localhost"), 0, "-----> Skipping: twice.localhost already added to twice\n", ""),
        (("storage:mount", "twice", "/tmp:/data"), 0, "", ""),
        (("storage:mount", "twice", "/tmp:/data"), 1, "", " !     Mount path already exists.\n"),
        (("storage:unmount", "twice", "/tmp:/data"), 0, "", ""),
        (("storage:unmount", "twice", "/tmp:/data"), 1, "", " !     Mount path does not exist.\n"),
        (("config:unset", "twice", "NONE"), 0, "-----> Skipping NONE, it is not set in the environment\n", ""),
        (("--force", "apps:destroy", "twice"), 0, None, ""),
        (("--force", "apps:destroy", "twice"), 20, "", " !     App twice does not exist\n"),
    ):  # fmt: skip
        result = dokku(host, *words)
        assert (result.code, result.err) == (code, err), words
        assert out is None or result.out == out, words


def test_global_flags_wherever_they_stand(host: Door, app: str) -> None:
    dokku(host, "config:set", app, "ENV=prod").ok()
    quiet = "ENV:  prod\n"
    for words in (
        ("--quiet", "config:show", app),
        ("config:show", "--quiet", app),
        ("config:show", app, "--quiet"),
        ("--quiet", "--app", app, "config:show"),
        ("--app", app, "--quiet", "--trace", "config:show"),
        ("--trace", "config", app, "--quiet"),
    ):
        result = dokku(host, *words)
        told = result.err if "--trace" not in words else ""  # what took how long
        assert (result.code, result.out, told) == (0, quiet, ""), words
    assert dokku(host, "--quiet", "nope").code == 1
    assert dokku(host, "--nope", "apps:list").code == 2
    assert dokku(host, "--force", "apps:destroy", app).code == 0
    assert dokku(host, "apps:exists", app).code == 20


def test_at_a_terminal(host: Door, app: str) -> None:
    """`ssh -t dokku@host …`: the same lines, and a prompt where Dokku has one."""
    shown = dokku(host, "apps:list", options=("-tt",)).ok()
    assert shown.startswith("=====> My Apps\r\n") and f"\r\n{app}\r\n" in shown
    shown = dokku(host, "apps:destroy", app, options=("-tt",), input=f"{app}\n").ok()
    assert f'To proceed, type "{app}"' in shown and "\n> " in shown and f"-----> Destroying {app}" in shown
    assert dokku(host, "apps:exists", app).code == 20


def test_a_script_that_pipes(host: Door, app: str, image_names: dict[str, str]) -> None:
    """An image and a config file on standard input, as Dokku's documents pipe them."""
    save = subprocess.Popen(["docker", "image", "save", image_names["web"]], stdout=subprocess.PIPE)
    assert save.stdout is not None
    load = subprocess.run(
        ["ssh", "-F", str(host.ssh_config), "dokku@host", "git:load-image", app, image_names["web"]],
        stdin=save.stdout,
        env=host.paas.env,
        capture_output=True,
        text=True,
    )
    save.stdout.close()
    assert save.wait() == 0 and load.returncode == 0, load.stderr
    assert "=====> Application deployed:\n" in load.stdout
    said = dokku(host, "config:import", "--no-restart", app, "-", input='A="one two"\nB=3\n')
    assert said.code == 0, said.err
    assert dokku(host, "config:export", "--format", "envfile", app).ok() == 'A="one two"\nB=3\n'


@pytest.mark.usefixtures("image_names")
def test_the_command_lines_of_the_documents(host: Door, tmp_path: Path) -> None:
    """One transcript; not among the others because there each command costs an OpenSSH connection too."""
    play(Path(__file__).parent / "dokku-documents.txt", host, tmp_path)
