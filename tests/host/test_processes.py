"""Processes of an app: one-off ones, logs, scaling, stopping, crashing; and the app's name and end."""

from __future__ import annotations

import fcntl
import itertools
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Callable

import docker
import pytest
from conftest import MakeImage, Start
from support.clients import until
from support.doors import Door
from support.repo import Repo
from support.server import Paas
from support.state import containers, current_release, releases, tags
from support.whole import command_processes

WEB = "paas-test/web"
SHELL = "paas-test/shell"
PROCFILE = """\
web: echo $DYNO starts; exec httpd -f -p $PORT -h /www
clock: trap 'exit 0' TERM; while :; do echo $DYNO ticks; sleep 0.2; done
"""
TERMINAL_SECONDS = 30
NUMBERS = itertools.count(1)


@pytest.fixture
def app(host: Door, make_image: MakeImage) -> str:
    """A new app of one web process."""
    name = f"app-{next(NUMBERS)}"
    host.ssh("apps:create", name).ok()
    host.ssh("git:from-image", name, make_image("plain", "WORKDIR /www")).ok()
    return name


def pushed(door: Door, repo: Repo, app: str) -> None:
    repo.write({"Dockerfile": f"FROM {SHELL}\nSTOPSIGNAL SIGKILL\n", "Procfile": PROCFILE})
    repo.commit()
    repo.push(door.remote(app), "main", door.git_env()).ok()


def started_at(engine: docker.DockerClient, container: str) -> str:
    """When the engine started a container last."""
    moment: str = engine.api.inspect_container(container)["State"]["StartedAt"]
    return moment


def only(paas: Paas, engine: docker.DockerClient, app: str) -> str:
    """The id of an app's one container, once it has only one, and it runs."""

    def look() -> str | None:
        found = list(containers(paas, engine, app))
        return found[0][0] if len(found) == 1 and found[0][1] == "running" else None

    return until(look) or ""


def test_run_passes_input_output_and_exit_code_on(door: Door, app: str, engine: docker.DockerClient) -> None:
    data = os.urandom(3_000_000)
    result = subprocess.run(door.ssh_command("run", app, "cat"), env=door.paas.env, input=data, capture_output=True)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout == data
    both = door.ssh("run", app, "sh", "-c", "'echo to out; echo to err >&2; exit 37'")
    assert (both.code, both.out, both.err) == (37, "to out\n", "to err\n")
    assert door.ssh("run", app, "sh", "-c", "'kill -9 $$'").code == 137
    assert door.ssh("run", "-e", "'A=two words'", app, "sh", "-c", "'echo $A'").ok() == "two words\n"
    assert door.ssh("run", app, "pwd").ok() == "/www\n"
    assert door.ssh("run", app, "test", "-t", "0").code == 1
    missing = door.ssh("run", app, "no-such-command")
    assert (missing.code, missing.err.count("\n")) == (127, 1)
    assert door.ssh("run", app).code == 1
    assert len(containers(door.paas, engine, app)) == 1


def on_terminal(words: list[str], env: dict[str, str], rows: int, columns: int) -> tuple[int, int]:
    """Start `words` on a new terminal of a size: (pid, the terminal's master)."""
    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        os.execvpe(words[0], words, env)  # noqa: S606
    return pid, master


def read_until(master: int, wanted: bytes) -> bytes:
    said = b""
    while wanted not in said:
        assert select.select([master], [], [], TERMINAL_SECONDS)[0], said
        said += os.read(master, 4096)
    return said


def test_run_on_a_terminal(door: Door, app: str, engine: docker.DockerClient) -> None:
    pid, master = on_terminal(door.ssh_command("run", app, "sh", tty=True), door.paas.env, 33, 101)
    try:
        read_until(master, b"# ")
        os.write(master, b"tty; stty size; echo $((6 * 7))\r")
        said = read_until(master, b"42\r\n")
        assert b"/dev/pts/0\r\n33 101\r\n" in said
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", 44, 99, 0, 0))
        os.write(master, b"until [ \"$(stty size)\" = '44 99' ]; do :; done; echo re''sized\r")
        read_until(master, b"resized\r\n")
        # Ctrl-C is the container's: it ends what runs there, not the session.
        os.write(master, b"echo bef''ore; sleep 600\r")
        read_until(master, b"before\r\n")
        os.write(master, b"\x03")
        read_until(master, b"# ")
        os.write(master, b"exit 21\r")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 21
    finally:
        os.close(master)
    assert len(containers(door.paas, engine, app)) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_run_without_its_client_leaves_no_container(
    door: Door, app: str, start: Start, engine: docker.DockerClient, number: int
) -> None:
    client = start(door.ssh_command("run", app, "sh", "-c", "'echo up; sleep 600'"), door.paas.env)
    client.says("up")
    assert len(containers(door.paas, engine, app)) == 2
    client.send(number)
    client.ends()
    only(door.paas, engine, app)


def test_enter(door: Door, app: str, engine: docker.DockerClient) -> None:
    inside = only(door.paas, engine, app)[:12]
    assert door.ssh("enter", app, "web", "hostname").ok() == f"{inside}\n"
    assert door.ssh("enter", app, "web.1", "sh", "-c", "'exit 9'").code == 9
    assert door.ssh("enter", app, "web", input="hostname; exit 3\n") .out == f"{inside}\n"
    wrong = door.ssh("enter", app, "worker")
    assert (wrong.code, wrong.err) == (1, " !     No containers found for type 'worker'\n")
    pid, master = on_terminal(door.ssh_command("enter", app, "web", tty=True), door.paas.env, 24, 80)
    try:
        read_until(master, b"# ")
        os.write(master, b"tty; exit 5\r")
        read_until(master, b"/dev/pts/")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    finally:
        os.close(master)


def test_logs(door: Door, repo: Repo, start: Start, engine: docker.DockerClient) -> None:
    app = f"logged-{door.name}"
    pushed(door, repo, app)
    door.ssh("ps:scale", app, "clock=2").ok()
    line = r"\x1b\[\d+m\d{4}-\d\d-\d\dT[\d:.]+Z app\[(web|clock)\.[12]\]:\x1b\[0m (web|clock)\.[12] (starts|ticks)"
    shown = door.ssh("logs", app, "-n", "2").ok().splitlines()
    assert all(re.fullmatch(line, text) for text in shown), shown
    assert sorted(text.split("[0m ")[1] for text in shown) == ["clock.1 ticks"] * 2 + ["clock.2 ticks"] * 2 + ["web.1 starts"]
    assert door.ssh("logs", app, "-p", "clock.2", "-n", "1", "-q").ok() == "clock.2 ticks\n"
    assert set(door.ssh("logs", app, "--ps", "clock", "--num", "3", "--quiet").ok().splitlines()) == {
        "clock.1 ticks",
        "clock.2 ticks",
    }
    wrong = door.ssh("logs", app, "-p", "cron")
    assert (wrong.code, wrong.err) == (1, f" !     No process matches 'cron'. {app} runs: clock.1 clock.2 web.1\n")
    before = set(command_processes(door.paas))
    follower = start(door.ssh_command("logs", app, "-t", "-n", "1", "-q", "-p", "clock.1"), door.paas.env)
    until(lambda: follower.text.count("clock.1 ticks\n") > 2)
    assert follower.text.replace("clock.1 ticks\n", "") == ""
    assert set(command_processes(door.paas)) - before
    follower.send(signal.SIGKILL)
    follower.ends()
    until(lambda: not set(command_processes(door.paas)) - before)
    # One that follows ends when the processes do.
    follower = start(door.ssh_command("logs", app, "-t", "-q"), door.paas.env)
    follower.says("ticks")
    door.ssh("ps:stop", app).ok()
    assert follower.ends() == 0


def test_stop_start_restart_rebuild(host: Door, app: str, engine: docker.DockerClient) -> None:
    paas = host.paas
    first = only(paas, engine, app)
    assert host.ssh("ps:start", app).err == f" !     App {app} already running\n"
    assert host.ssh("ps:stop", app).ok() == f"-----> Stopping {app}\n"
    stopped = paas.http_get(app)
    assert (stopped.status, "Retry-After" in {name.title() for name in stopped.headers}) == (503, True)
    until(lambda: not containers(paas, engine, app))
    report = dict(re.findall(r"^ {7}(.+?): +(.*)$", host.ssh("ps:report", app).ok(), re.M))
    assert (report["Running"], report["Restore"], report["Processes"]) == ("false", "false", "0")
    # What is set while it is stopped counts when it starts; nothing starts before.
    host.ssh("config:set", app, "GREETING=Again").ok()
    assert not containers(paas, engine, app)
    started = host.ssh("ps:start", app).ok()
    assert "All checks successful (web.1)" in started
    assert "<h1>Again" in paas.http_get(app).body
    second = only(paas, engine, app)
    host.ssh("ps:restart", app).ok()
    third = only(paas, engine, app)
    assert len({first, second, third}) == 3
    assert current_release(paas, app)["release"] == 2  # type: ignore[index]
    host.ssh("ps:rebuild", app).ok()
    assert current_release(paas, app)["release"] == 3  # type: ignore[index]
    assert paas.http_get(app).body.startswith("<!doctype html><title>paas demo</title>\n<h1>Again")


def test_scale_up_and_down(host: Door, app: str, engine: docker.DockerClient) -> None:
    paas = host.paas
    first = only(paas, engine, app)
    host.ssh("ps:scale", app, "web=3").ok()
    running = {identifier for identifier, _ in containers(paas, engine, app)}
    assert len(running) == 3 and first in running
    names = re.findall(r"Status (web \d): +running \(CID: ([0-9a-f]{11})\)", host.ssh("ps:report", app).ok())
    assert [name for name, _ in names] == ["web 1", "web 2", "web 3"]
    assert {short for _, short in names} == {identifier[:11] for identifier in running}
    host.ssh("ps:scale", app, "web=1").ok()
    assert only(paas, engine, app) == first
    host.ssh("ps:scale", app, "web=0").ok()
    until(lambda: not containers(paas, engine, app))
    assert paas.http_get(app).status == 503
    host.ssh("ps:scale", app, "web=1").ok()
    assert paas.http_get(app).status == 200
    for words, message in (
        ("cron=1", "cron is not a valid process name to scale up"),
        ("web", "Missing count for process type web"),
        ("web=x", "Invalid count for process type web"),
        ("web=-1", "Invalid count for process type web"),
    ):
        refused = host.ssh("ps:scale", app, words)
        assert (refused.code, refused.err) == (1, f" !     {message}\n")
    assert host.ssh("ps:scale", app).ok().splitlines()[-1] == "web:  1"


@pytest.mark.parametrize("code", [0, 1])
def test_a_process_that_ends_comes_back(
    host: Door, make_image: MakeImage, engine: docker.DockerClient, code: int
) -> None:
    paas, app = host.paas, f"crashing-{code}"
    line = f"httpd -p $PORT -h /www; until [ -e /crash ]; do sleep 0.05; done; rm /crash; exit {code}"
    host.ssh("apps:create", app).ok()
    host.ssh("git:from-image", app, make_image(app, f'CMD ["sh", "-c", "{line}"]')).ok()
    container = only(paas, engine, app)
    before = started_at(engine, container)
    host.ssh("enter", app, "web", "touch", "/crash").ok()
    until(lambda: started_at(engine, container) != before)
    assert only(paas, engine, app) == container
    until(lambda: paas.http_get(app).status == 200)
    report = host.ssh("ps:report", app).ok()
    assert re.search(rf"Status web 1: +running \(CID: {container[:11]}\)", report)


def test_a_removed_container_comes_back_as_a_new_one(host: Door, app: str, engine: docker.DockerClient) -> None:
    """After a restart of paas: somebody tidied up while it was away."""
    first = only(host.paas, engine, app)
    host.paas.stop()
    engine.api.remove_container(first, force=True)
    host.paas.start()
    until(lambda: first not in dict(containers(host.paas, engine, app)) and only(host.paas, engine, app))
    until(lambda: host.paas.http_get(app).status == 200)


def test_rename_keeps_serving(host: Door, app: str, engine: docker.DockerClient, repo: Repo) -> None:
    paas, new = host.paas, f"renamed-{host.name}"
    container = only(paas, engine, app)
    host.ssh("apps:rename", "--skip-deploy", app, new).ok()
    assert paas.http_get(new).status == 200
    assert paas.http_get(app).status == 404
    assert only_of_any(paas, engine) >= {container}
    assert host.ssh("apps:exists", app).code == 20
    assert repo.git("ls-remote", host.remote(app), env=host.git_env()).code == 128
    repo.git("fetch", host.remote(new), "master", env=host.git_env()).ok()
    repo.git("reset", "-q", "--hard", "FETCH_HEAD").ok()
    repo.write({"Dockerfile": f"FROM {WEB}\nENV GREETING=Renamed\n"})
    repo.commit()
    repo.push(host.remote(new), "main:master", host.git_env()).ok()
    assert "<h1>Renamed" in paas.http_get(new).body
    taken = host.ssh("apps:rename", new, new)
    assert (taken.code, taken.err) == (1, " !     Name is already taken\n")


def only_of_any(paas: Paas, engine: docker.DockerClient) -> set[str]:
    """Ids of all running containers of the installation."""
    filters = {"label": f"paas.root={paas.root}", "status": "running"}
    return {item["Id"] for item in engine.api.containers(filters=filters)}


def test_destroy_leaves_nothing(host: Door, app: str, engine: docker.DockerClient) -> None:
    paas = host.paas
    kept = host.ssh("apps:destroy", app, input="something else\n")
    assert (kept.code, kept.err.splitlines()[-1]) == (1, f" !     Confirmation did not match {app}. Aborted.")
    assert paas.http_get(app).status == 200
    host.ssh("apps:destroy", app, input=f"{app}\n").ok()
    assert containers(paas, engine, app) == tags(paas, engine, app) == frozenset()
    assert paas.http_get(app).status == 404
    assert not (paas.root / "repositories" / f"{app}.git").exists()
    assert app not in (paas.root / "router" / "haproxy.cfg").read_text()
    assert host.ssh("apps:exists", app).code == 20
    # The name is free, and nothing of the old one comes back.
    host.ssh("apps:create", app).ok()
    assert releases(paas, app) == []
    assert host.ssh("config:show", app, "--format", "json").ok() == "{}\n"
    host.ssh("apps:destroy", app, "--force").ok()


def test_unknown_hosts_get_404(host: Door, http_get: Callable[..., object]) -> None:
    for name in ("nobody", "example.com", "a.b.localhost"):
        assert host.paas.http_get(name).status == 404


def test_config_of_a_deployed_app_is_a_release(host: Door, app: str) -> None:
    paas = host.paas
    host.ssh("config:set", app, "GREETING=Hi", "'QUOTED=two \"words\"'").ok()
    assert current_release(paas, app)["description"] == "config:set"  # type: ignore[index]
    assert "<h1>Hi from" in paas.http_get(app).body
    assert host.ssh("run", app, "sh", "-c", "'echo \"$QUOTED\"'").ok() == 'two "words"\n'
    host.ssh("config:set", "--no-restart", app, "GREETING=Later").ok()
    assert "<h1>Hi from" in paas.http_get(app).body
    host.ssh("ps:restart", app).ok()
    assert "<h1>Hi from" in paas.http_get(app).body
    host.ssh("config:unset", app, "QUOTED").ok()
    assert "<h1>Later from" in paas.http_get(app).body
    assert host.ssh("run", app, "sh", "-c", "'exit ${QUOTED:-3}'").code == 3
