"""When a release serves, what a failing one leaves, and that no request is lost in between."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import docker
from conftest import MakeImage, OpenGate, Start
from support.clients import until
from support.doors import Door
from support.repo import Repo
from support.server import Paas
from support.state import containers, difference, operations, releases, state_of, tags

WEB = "paas-test/web"
SHELL = "paas-test/shell"
CLIENTS = 3
REQUESTS_PER_SECOND = 60


@dataclass
class Load:
    """Clients that keep their connections and ask an app all the time."""

    paas: Paas
    app: str
    path: str = "/"
    answers: list[tuple[int, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.paas.http_port, timeout=20)
        with contextlib.closing(connection):
            while not self.ended.wait(CLIENTS / REQUESTS_PER_SECOND):
                try:
                    connection.request("GET", self.path, headers={"Host": f"{self.app}.localhost"})
                    answer = connection.getresponse()
                    self.answers.append((answer.status, answer.read().decode()))
                except (OSError, http.client.HTTPException) as error:
                    self.failures.append(repr(error))
                    connection.close()

    def more(self) -> None:
        """Wait for some answers from now on."""
        count = len(self.answers) + 2 * CLIENTS
        until(lambda: len(self.answers) >= count, lambda: self.failures)


@contextlib.contextmanager
def load(paas: Paas, app: str, path: str = "/") -> Iterator[Load]:
    running = Load(paas, app, path)
    threads = [threading.Thread(target=running.ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        running.more()
        yield running
    finally:
        running.ended.set()
        for thread in threads:
            thread.join()


def served(door: Door, app: str, image: str = WEB) -> None:
    door.ssh("apps:create", app).ok()
    door.ssh("git:from-image", app, image).ok()


def app_json(*checks: str) -> str:
    return json.dumps({"healthchecks": {"web": [json.loads(check) for check in checks]}})


def test_five_deploys_lose_no_request(host: Door, make_image: MakeImage) -> None:
    images = [make_image(f"steady{number}", f"ENV VERSION={number}") for number in range(6)]
    served(host, "steady", images[0])
    with load(host.paas, "steady") as asked:
        for image in images[1:]:
            host.ssh("git:from-image", "steady", image).ok()
            asked.more()
    assert asked.failures == []
    assert {status for status, _ in asked.answers} == {200}
    for number in range(6):
        assert any(f"version {number}</h1>" in body for _, body in asked.answers), number


def test_restart_scaling_and_config_lose_no_request(host: Door, make_image: MakeImage) -> None:
    served(host, "calm", make_image("calm", "ENV VERSION=calm"))
    with load(host.paas, "calm") as asked:
        host.ssh("ps:scale", "calm", "web=3").ok()
        host.ssh("ps:restart", "calm").ok()
        host.ssh("config:set", "calm", "GREETING=Calmly").ok()
        host.ssh("ps:scale", "calm", "web=1").ok()
        host.ssh("releases:rollback", "calm").ok()
        asked.more()
    assert asked.failures == []
    assert {status for status, _ in asked.answers} == {200}


def test_a_release_that_never_gets_healthy_leaves_the_old_one_serving(
    host: Door, start: Start, make_image: MakeImage, engine: docker.DockerClient
) -> None:
    lines = 'CMD ["sh", "-c", "for i in $(seq 80); do echo line $i; done; sleep 600"]'
    bad = make_image("mute", lines)
    served(host, "lasting")
    host.ssh("config:set", "--no-restart", "lasting", "RELEASE_HEALTHCHECK_TIMEOUT=2").ok()
    before = state_of(host.paas, engine, "lasting")
    with load(host.paas, "lasting") as asked:
        failed = host.ssh("git:from-image", "lasting", bad)
        asked.more()
    assert failed.code == 1
    assert asked.failures == []
    assert set(asked.answers) == {(200, before.body)}
    shown = [line.strip() for line in failed.out.splitlines()]
    first = next(at for at, line in enumerate(shown) if line.startswith("=====> Start of lasting container output ("))
    last = next(at for at, line in enumerate(shown) if line.startswith("=====> End of lasting container output ("))
    assert shown[first + 1 : last] == [f"line {number}" for number in range(31, 81)]
    assert "web.1" in shown[first]
    assert (
        " !     Could not start web.1: nothing listens on port 5000 after 2 s (it has to listen on 0.0.0.0,"
        " on the port that PORT says). Nothing was changed; the release that served before still does\n"
    ) in failed.err
    assert failed.err.count("\n") == 1
    assert operations(host.paas, "lasting")[0]["status"] == "failed"
    assert difference(before, state_of(host.paas, engine, "lasting")) == {}
    # A failed deploy never counts as "nothing changed".
    again = host.ssh("git:from-image", "lasting", bad)
    assert (again.code, "No changes detected" in again.out) == (1, False)


def test_a_process_that_ends_at_once_is_told_with_its_code(
    host: Door, make_image: MakeImage, engine: docker.DockerClient
) -> None:
    app = "dying"
    bad = make_image("dying", 'CMD ["sh", "-c", "echo out of cheese >&2; exit 42"]')
    served(host, app)
    before = state_of(host.paas, engine, app)
    failed = host.ssh("git:from-image", app, bad)
    assert failed.code == 1
    assert "       out of cheese\n" in failed.out
    assert "Could not start web.1: it exited with code 42. Nothing was changed" in failed.err
    assert difference(before, state_of(host.paas, engine, app)) == {}


def test_a_first_deploy_that_fails_leaves_no_release(
    host: Door, make_image: MakeImage, engine: docker.DockerClient
) -> None:
    bad = make_image("dying", 'CMD ["sh", "-c", "echo out of cheese >&2; exit 42"]')
    host.ssh("apps:create", "stillborn").ok()
    assert host.ssh("git:from-image", "stillborn", bad).code == 1
    assert containers(host.paas, engine, "stillborn") == tags(host.paas, engine, "stillborn") == frozenset()
    assert host.paas.http_get("stillborn").status in (404, 503)
    assert host.ssh("ps:restart", "stillborn").err == " !     App stillborn has not been deployed\n"
    host.ssh("git:from-image", "stillborn", WEB).ok()
    assert host.paas.http_get("stillborn").status == 200


def test_app_json_path_check_decides(
    host: Door, start: Start, make_image: MakeImage, repo: Repo, open_gate: OpenGate
) -> None:
    """It listens at once; it is healthy when the path answers."""
    image = make_image(
        "path", 'CMD ["sh", "-c", "httpd -p $PORT -h /www; until [ -e /go ]; do sleep 0.05; done;'
        ' echo fine > /www/ready; sleep 600"]'
    )
    checked = '{"type": "startup", "path": "/ready", "content": "fine", "attempts": 600, "wait": 0.1, "timeout": 2}'
    repo.write({"Dockerfile": f"FROM {image}\n", "app.json": app_json(checked)})
    repo.commit()
    client = start(["git", "push", host.remote("pathly"), "main"], host.git_env(), cwd=repo.path)
    client.says("Deploying web")
    open_gate("pathly")
    assert client.ends() == 0
    assert host.paas.http_get("pathly", "/ready").body == "fine\n"
    # The same check on an image that never has the path.
    repo.write(
        {
            "Dockerfile": f"FROM {WEB}\n",
            "app.json": app_json('{"type": "startup", "path": "/ready", "attempts": 2, "wait": 0, "timeout": 1}'),
        }
    )
    repo.commit()
    refused = repo.push(host.remote("pathly"), "main", host.git_env())
    assert refused.code == 1
    assert "Could not start web.1: GET /ready did not pass within 2 s (it answered 404)" in refused.err
    assert host.paas.http_get("pathly", "/ready").body == "fine\n"


def test_the_images_healthcheck_decides(
    host: Door, start: Start, make_image: MakeImage, engine: docker.DockerClient, open_gate: OpenGate
) -> None:
    """It listens from the start, so only the HEALTHCHECK can be what is waited for."""
    image = make_image(
        "checked",
        "HEALTHCHECK --interval=1h CMD test -e /go",
        'CMD ["sh", "-c", ": /go; exec httpd -f -p $PORT -h /www"]',
        "ENV VERSION=checked",
    )
    served(host, "checked")
    client = start(host.ssh_command("git:from-image", "checked", image), host.paas.env)
    client.says("Deploying web")
    until(lambda: len(containers(host.paas, engine, "checked")) == 2)
    assert "version 1</h1>" in host.paas.http_get("checked").body
    assert client.process.poll() is None
    open_gate("checked")
    assert client.ends() == 0
    assert "version checked</h1>" in host.paas.http_get("checked").body


def test_a_worker_must_stay_up(host: Door, repo: Repo, engine: docker.DockerClient) -> None:
    app = "working"
    repo.write(
        {
            "Dockerfile": f"FROM {SHELL}\nSTOPSIGNAL SIGKILL\n",
            "Procfile": "web: exec httpd -f -p $PORT -h /www\nworker: sleep 1; echo tired; exit 3\n",
        }
    )
    repo.commit()
    repo.push(host.remote(app), "main", host.git_env()).ok()
    before = state_of(host.paas, engine, app)
    failed = host.ssh("ps:scale", app, "worker=1")
    assert failed.code == 1
    assert "Could not start worker.1: it exited with code 3" in failed.err
    assert "       tired\n" in failed.out
    assert difference(before, state_of(host.paas, engine, app)) == {}
    assert "worker: 0\n" in host.ssh("ps:scale", app).ok()
    repo.write({"Procfile": "web: exec httpd -f -p $PORT -h /www\nworker: sleep 600\n"})
    repo.commit()
    repo.push(host.remote(app), "main", host.git_env()).ok()
    assert "All checks successful (worker.1)" in host.ssh("ps:scale", app, "worker=1").ok()


def test_a_before_release_command_that_fails_aborts(
    host: Door, repo: Repo, engine: docker.DockerClient
) -> None:
    app = "before"
    served(host, app)
    before = state_of(host.paas, engine, app)
    repo.write(
        {
            "Dockerfile": f"FROM {SHELL}\n",
            ".aptible.yml": "before_release:\n  - echo first\n  - echo the table is locked; exit 5\n  - echo third\n",
        }
    )
    repo.commit()
    refused = repo.push(host.remote(app), "main:master", host.git_env(), "--force")
    assert refused.code == 1
    assert "remote:        first " in refused.err
    assert "the table is locked" in refused.err
    assert "remote:        third" not in refused.err
    assert "Deploying web" not in refused.err
    assert difference(before, state_of(host.paas, engine, app)) == {}


def test_eight_processes_at_once(host: Door, make_image: MakeImage, engine: docker.DockerClient) -> None:
    served(host, "many", make_image("many", "ENV VERSION=many"))
    host.ssh("ps:scale", "many", "web=8").ok()
    deployed = host.ssh("git:from-image", "many", make_image("more", "ENV VERSION=more")).ok()
    assert "-----> Deploying web (count=8)\n" in deployed
    assert deployed.count("All checks successful (web.") == 8
    until(lambda: len(containers(host.paas, engine, "many")) == 8)
    assert {host.paas.http_get("many").body.rpartition("version ")[2] for _ in range(16)} == {"more</h1>\n"}
    assert "--status-web.8" not in host.ssh("ps:report", "many", "--deployed").ok()
    assert host.ssh("ps:report", "many").ok().count("running (CID: ") == 8


def test_one_of_several_that_fails_takes_all_back(
    host: Door, make_image: MakeImage, engine: docker.DockerClient
) -> None:
    bad = make_image(
        "third", 'CMD ["sh", "-c", "[ $DYNO = web.3 ] && exit 9; exec httpd -f -p $PORT -h /www"]'
    )
    served(host, "several")
    host.ssh("ps:scale", "several", "web=4").ok()
    before = state_of(host.paas, engine, "several")
    failed = host.ssh("git:from-image", "several", bad)
    assert failed.code == 1
    assert "Could not start web.3: it exited with code 9" in failed.err
    assert difference(before, state_of(host.paas, engine, "several")) == {}


def test_a_config_with_which_the_image_ends_is_taken_back(
    host: Door, make_image: MakeImage, engine: docker.DockerClient
) -> None:
    app = "config"
    picky = make_image(
        "picky", 'CMD ["sh", "-c", "[ $MODE = bad ] && echo bad mode && exit 4; exec httpd -f -p $PORT -h /www"]'
    )
    served(host, app, picky)
    host.ssh("config:set", app, "MODE=good").ok()
    assert [item["description"] for item in releases(host.paas, app)] == ["config:set", f"Deploy {picky}"]
    until(lambda: len(containers(host.paas, engine, app)) == 1)
    before = state_of(host.paas, engine, app)
    failed = host.ssh("config:set", app, "MODE=bad", "OTHER=1")
    assert failed.code == 1
    assert "       bad mode\n" in failed.out
    assert "it exited with code 4" in failed.err
    assert host.ssh("config:get", app, "MODE").ok() == "good\n"
    assert host.ssh("config:get", app, "OTHER").code == 1
    assert difference(before, state_of(host.paas, engine, app)) == {}


def test_rollback_brings_image_and_config_back(
    host: Door, make_image: MakeImage, engine: docker.DockerClient
) -> None:
    app = "back"
    served(host, app, make_image("back1", "ENV VERSION=one"))
    host.ssh("config:set", app, "GREETING=Salut").ok()
    host.ssh("git:from-image", app, make_image("back2", "ENV VERSION=two")).ok()
    host.ssh("config:set", app, "GREETING=Servus").ok()
    assert host.paas.http_get(app).body.endswith("<h1>Servus from the paas demo, version two</h1>\n")
    host.ssh("releases:rollback", app).ok()
    assert host.paas.http_get(app).body.endswith("<h1>Salut from the paas demo, version two</h1>\n")
    host.ssh("releases:rollback", app, "1").ok()
    assert host.paas.http_get(app).body.endswith("<h1>Hello from the paas demo, version one</h1>\n")
    assert host.ssh("config:get", app, "GREETING").code == 1
    assert [item["description"] for item in releases(host.paas, app)][:2] == ["Rollback to r1", "Rollback to r3"]
    unknown = host.ssh("releases:rollback", app, "99")
    assert (unknown.code, unknown.err.count("\n")) == (1, 1)
    assert host.ssh("releases:rollback", app, "x").code == 2
    assert host.paas.http_get(app).body.endswith("version one</h1>\n")


def test_ten_releases_and_their_images_are_kept(host: Door, engine: docker.DockerClient) -> None:
    served(host, "kept", SHELL)
    for _ in range(11):
        host.ssh("ps:rebuild", "kept").ok()
    until(lambda: len(releases(host.paas, "kept")) == 10, lambda: releases(host.paas, "kept"))
    assert [item["release"] for item in releases(host.paas, "kept")] == list(range(12, 2, -1))

    def numbers() -> set[int]:
        return {int(tag.rpartition(":")[2]) for tag in tags(host.paas, engine, "kept")}

    until(lambda: numbers() == set(range(3, 13)), numbers)
    gone = host.ssh("releases:rollback", "kept", "2")
    assert (gone.code, gone.err.count("\n")) == (1, 1)
    host.ssh("releases:rollback", "kept", "3").ok()
    assert host.paas.http_get("kept").status == 200
