"""Much at once: `python -P -m faults.load` in tests/, by hand, as root; tests/faults/test_load.py does it on a small scale.

Each part fails with AssertionError where something is lost, and gives its figures.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import docker
from support import doors, gated, images, processes
from support.clients import Client, until
from support.doors import Door
from support.server import STUB, Paas, running_paas
from support.state import containers, operations

from paas.gateway import handover

Figures = dict[str, float]

APPS, QUEUED, CONNECTIONS, SILENT = 20, 10, 200, 300
STANDBY = "paas stand-by"
SERVICES = ("paas serve", "paas dispatcher", "paas SSH server", "paas agent")
LEEWAY = 1.3  # memory at rest, after to before
LIMITS = {"PAAS_SSH_MAX_CONNECTIONS": "256", "PAAS_SSH_LOGIN_SECONDS": "20"}


def services(paas: Paas) -> dict[int, str]:
    """The name of each process of the server's by its id."""
    assert paas.process
    found = {}
    for pid in processes.descendants(paas.process.pid):
        with contextlib.suppress(OSError):
            found[pid] = processes.name(pid)
    return found


def at_rest(paas: Paas) -> bool:
    """Whether no connection and no command is there."""
    found = list(services(paas).values())
    return {*found} - {STANDBY} == {*SERVICES, "haproxy"} and all(found.count(name) == 1 for name in SERVICES)


def memory(paas: Paas) -> int:
    """All of it in kB."""
    found = 0
    for pid in services(paas):
        with contextlib.suppress(OSError):
            found += processes.pss(pid)
    return found


@contextlib.contextmanager
def nothing_left(paas: Paas, figures: Figures) -> Iterator[None]:
    """After the block only the services are left, with no more memory than before. Adds its seconds and kB to `figures`."""
    until(lambda: at_rest(paas), lambda: services(paas))
    size = memory(paas)
    started = time.monotonic()
    yield
    figures["seconds"] = round(time.monotonic() - started, 1)
    until(lambda: at_rest(paas), lambda: services(paas))
    figures |= {"kB before": size, "kB after": memory(paas)}
    assert figures["kB after"] < size * LEEWAY, figures


def ended(commands: Sequence[subprocess.Popen[str]]) -> list[str]:
    """What commands that must succeed have printed."""
    said = []
    for command in commands:
        out, err = command.communicate(timeout=600)
        assert command.returncode == 0, f"{command.returncode}\n{out}\n{err}"
        said.append(out)
    return said


def begun(paas: Paas, words: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, env=paas.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def apps_at_once(paas: Paas, engine: docker.DockerClient, image: str, count: int) -> Figures:
    """So many apps are deployed at the same time: all serve, with one operation and one container each."""
    names = [f"together-{number}" for number in range(count)]
    door = doors.embedded(paas)
    for name in names:
        paas.command("apps:create", name).ok()
    figures: Figures = {"deploys": count}
    with nothing_left(paas, figures):
        ended([begun(paas, door.ssh_command("git:from-image", name, image)) for name in names])
    for name in names:
        assert paas.http_get(name).status == 200
        assert [(item["kind"], item["status"]) for item in operations(paas, name)] == [
            ("git:from-image", "succeeded"),
            ("apps:create", "succeeded"),
        ]
        assert len(containers(paas, engine, name)) == 1
    return figures


def queued(paas: Paas, engine: docker.DockerClient, pair: tuple[str, str], count: int) -> Figures:
    """So many deploys of one app: each says for whom it waits, and they run in the order in which they came."""
    app = "queue"
    paas.command("apps:create", app).ok()
    paas.command("checks:set", app, "wait-to-retire", "1").ok()
    image = gated.build()
    figures: Figures = {"deploys": count}
    with nothing_left(paas, figures), ExitStack() as stack:

        def client(*words: str) -> Client:
            made = Client([str(STUB), *words], paas.env, None, subprocess.DEVNULL)
            stack.callback(made.close)
            return made

        first = client("git:from-image", app, image)
        first.says("-----> Deploying web")
        holder = operations(paas, app)[0]["id"]
        waiting = []
        for number in range(1, count):
            # Two images in turn: each differs from the one that it finds.
            waiting.append(client("git:from-image", app, pair[number % 2]))
            waiting[-1].says(f"-----> Waiting for operation #{holder} (git:from-image by root, running for ")
        until(lambda: gated.let_go(paas, engine, app), lambda: first.text)
        for each in (first, *waiting):
            assert each.process.wait(300) == 0, each.text
            assert "=====> Application deployed:" in each.text
    done = [item for item in operations(paas, app) if item["kind"] == "git:from-image"]
    assert [item["status"] for item in done] == ["succeeded"] * count
    by_start = sorted(done, key=lambda item: item["started_at"])
    assert [item["id"] for item in by_start] == sorted(item["id"] for item in done), done
    engine.api.remove_image(image, force=True)
    return figures


def connections(door: Door, count: int) -> Figures:
    """So many clients at once: each gets its answer."""
    figures: Figures = {"connections": count}
    expected = door.ssh("apps:list").ok()
    with nothing_left(door.paas, figures):
        answers = ended([begun(door.paas, door.ssh_command("apps:list")) for _ in range(count)])
    assert set(answers) == {expected}
    return figures


def silent(paas: Paas, count: int) -> Figures:
    """Clients that connect to the SSH port and to the dispatcher, and say nothing: others are served meanwhile, and
    they are ended."""
    door = doors.embedded(paas)
    most = int(paas.env["PAAS_SSH_MAX_CONNECTIONS"])
    figures: Figures = {"connections": 2 * count}
    with nothing_left(paas, figures), ExitStack() as stack:
        quiet = [socket.create_connection(("127.0.0.1", paas.ssh_port)) for _ in range(count)]
        unsaid = [handover.connect(bytes(paas.root)) for _ in range(count)]
        for each in (*quiet, *unsaid):
            stack.callback(each.close)
        for _ in range(3):
            door.ssh("version").ok()
            paas.command("version").ok()
        figures["most processes"] = sum(name == "paas connection" for name in services(paas).values())
        assert figures["most processes"] <= most
        figures["kB meanwhile"] = memory(paas)
        for each in quiet:
            each.settimeout(120)
            while each.recv(4096):  # What the server says first.
                pass
        for each in unsaid:
            assert each.recv(1) == b""
    return figures


def main() -> int:
    """All of it, as a table."""
    images.ensure([images.WEB, images.STATIC, images.SHELL])
    rows: dict[str, Figures] = {}

    def row(name: str, figures: Figures) -> None:
        rows[name] = figures
        print(f"{name}: {figures}", file=sys.stderr, flush=True)

    with running_paas(**LIMITS) as paas, doors.openssh(paas) as openssh, contextlib.closing(docker.from_env()) as engine:
        for door in (doors.embedded(paas), openssh):
            row(f"{CONNECTIONS} connections, {door.name}", connections(door, CONNECTIONS))
        row(f"{SILENT} silent clients at each door", silent(paas, SILENT))
        row(f"{APPS} apps at once", apps_at_once(paas, engine, images.WEB.tag, APPS))
        row(f"{QUEUED} deploys of one app", queued(paas, engine, (images.WEB.tag, images.STATIC.tag), QUEUED))
    titles = list(dict.fromkeys(title for figures in rows.values() for title in figures))
    print(f"| | {' | '.join(titles)} |\n|---{'|---' * len(titles)}|")
    for name, figures in rows.items():
        print(f"| {name} | {' | '.join(str(figures.get(title, '')) for title in titles)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
