"""What storage:* and network:* give an app's containers: `docker inspect`, files and real requests are the judges."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from conftest import MakeImage
from support.doors import Door
from support.server import Paas, Response

PROCFILE = r"web: exec httpd -f -p \$PORT -h /www\nworker: exec sleep 1000\n"
HERE = "paas-test-storage"


def serving(paas: Paas, engine: docker.DockerClient, app: str, process_type: str = "web") -> dict[str, Any]:
    """What the engine says of the one container that serves."""
    report = json.loads(paas.command("ps:report", app, "--format", "json").ok())
    shown = report[f"status-{process_type}.1"].partition("CID: ")[2].rstrip(")")
    found: dict[str, Any] = engine.api.inspect_container(shown)
    return found


def mounts(data: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """By path in the container: where it comes from, and whether it can be written."""
    return {
        item["Destination"]: (item["Name"] if item["Type"] == "volume" else item["Source"], item["RW"])
        for item in data["Mounts"]
    }


@pytest.fixture(scope="module")
def image(make_image: MakeImage) -> str:
    return make_image("storage", "WORKDIR /app", f'RUN printf "{PROCFILE}" > Procfile')


@pytest.fixture
def deployed(host: Door, image: str) -> Callable[..., str]:
    """`deployed("NETWORK:SET WORDS", …)`: a new app with these settings, deployed."""

    def deploy(*settings: str) -> str:
        name = f"net-{uuid.uuid4().hex[:8]}"
        host.ssh("apps:create", name).ok()
        for words in settings:
            host.ssh("network:set", name, *words.split()).ok()
        host.ssh("git:from-image", name, image).ok()
        return name

    return deploy


@pytest.fixture
def network(host: Door) -> Iterator[str]:
    """A network made by network:create. What is on it at the end goes with the server."""
    name = f"{HERE}-{uuid.uuid4().hex[:8]}"
    host.ssh("network:create", name).ok()
    yield name


def test_what_is_written_to_storage_survives_a_new_release(
    host: Door, deployed: Callable[..., str], engine: docker.DockerClient, tmp_path: Path
) -> None:
    paas, app = host.paas, deployed()
    folder = paas.root / "storage" / "files"
    host.ssh("storage:create", "files", "--chown", "heroku", "--mode", "0750").ok()
    assert (folder.stat().st_uid, folder.stat().st_gid, folder.stat().st_mode & 0o777) == (1000, 1000, 0o750)
    (tmp_path / "shared").mkdir()
    volume = f"{HERE}-{uuid.uuid4().hex[:8]}"
    for words in (
        "files --container-dir /www/files",
        "files --container-dir /only-run --phase run --volume-readonly",
        "files --container-dir /below --process-type worker --volume-subpath a/b",
        f"{tmp_path}/shared:/shared:ro",
        f"{volume}:/volume",
    ):
        host.ssh("storage:mount", app, *words.split()).ok()
    assert mounts(serving(paas, engine, app)) == {}, "mounts count from the next start on"
    host.ssh("ps:restart", app).ok()
    host.ssh("ps:scale", app, "worker=1").ok()
    try:
        first = serving(paas, engine, app)
        shared = {"/shared": (f"{tmp_path}/shared", False), "/volume": (volume, True)}
        assert mounts(first) == shared | {"/www/files": (str(folder), True)}
        assert mounts(serving(paas, engine, app, "worker")) == shared | {
            "/www/files": (str(folder), True),
            "/below": (f"{folder}/a/b", True),
        }
        host.ssh("ps:scale", app, "worker=0").ok()
        assert host.ssh("enter", app, "web", "sh", "-c", "'echo kept > /www/files/note'").code == 0
        host.ssh("ps:rebuild", app).ok()
        assert serving(paas, engine, app)["Id"] != first["Id"]
        assert paas.http_get(app, "/files/note").body == "kept\n"
        assert host.ssh("run", app, "cat", "/only-run/note").ok() == "kept\n"
        assert host.ssh("run", app, "sh", "-c", "'echo no > /only-run/note'").code != 0
        assert host.ssh("run", app, "ls", "/below").code != 0
        assert host.ssh("storage:exec", "files", "--", "cat", "/data/note").ok() == "kept\n"
        assert host.ssh("storage:exec", "files", "--as-user", "1000", "--", "id", "-u").ok() == "1000\n"
        assert host.ssh("storage:exec", "files", "--", "sh", "-c", "'exit 7'").code == 7
        assert host.ssh("storage:destroy", "files", "--force", "--destroy-host-dir").code == 1
        assert (folder / "note").read_text() == "kept\n"
        # Destroyed, the app leaves the storage, and then nobody has it any more.
        host.ssh("apps:destroy", app, "--force").ok()
        host.ssh("storage:destroy", "files", "--force", "--destroy-host-dir").ok()
        assert not folder.exists() and host.ssh("storage:info", "files").code == 1
    finally:
        host.ssh("apps:destroy", app, "--force")
        engine.api.remove_volume(volume, force=True)


def test_a_link_in_storage_leads_nowhere(host: Door, deployed: Callable[..., str], engine: docker.DockerClient) -> None:
    """Attack: an app puts a link to the host's / where a folder is mounted into another container."""
    paas, app = host.paas, deployed()
    host.ssh("storage:create", "linked").ok()
    (paas.root / "storage" / "linked" / "out").symlink_to("/")
    before = serving(paas, engine, app)["Id"]
    host.ssh("storage:mount", app, "linked", "--container-dir", "/in", "--volume-subpath", "out").ok()
    refused = host.ssh("ps:restart", app)
    assert refused.code == 1 and "is a link to a place outside of" in refused.err
    assert serving(paas, engine, app)["Id"] == before
    words = "linked --container-dir /in --volume-subpath out --volume-chown root"
    assert host.ssh("storage:mount", app, *words.split()).code == 1
    elsewhere = paas.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    (paas.root / "storage" / "away").symlink_to(elsewhere)
    host.ssh("storage:create", "away").ok()
    assert host.ssh("storage:set", "away", "chown", "1000").code == 1
    assert host.ssh("storage:destroy", "away", "--force", "--destroy-host-dir").code == 1
    assert elsewhere.stat().st_uid == 0 and (elsewhere / "file").exists()


def test_two_mounts_at_one_place_are_refused_before_anything_starts(
    host: Door, deployed: Callable[..., str], engine: docker.DockerClient
) -> None:
    app = deployed()
    before = serving(host.paas, engine, app)["Id"]
    host.ssh("storage:mount", app, "/srv/one:/data").ok()
    host.ssh("storage:mount", app, "/srv/two:/data").ok()
    refused = host.ssh("ps:restart", app)
    assert refused.code == 1 and "Two mounts lead to /data" in refused.err
    assert serving(host.paas, engine, app)["Id"] == before
    host.ssh("storage:unmount", app, "/srv/two:/data").ok()
    assert host.ssh("storage:unmount", app, "/srv/two:/data").err == " !     Mount path does not exist.\n"


def reaches(host: Door, app: str, name: str, by: tuple[str, ...] = ("enter", "web")) -> bool:
    """Whether a container of `app` gets an answer from http://NAME:5000/ within a second."""
    # The image's libc can't look names up, nor can its wget do without.
    address = f"$(nslookup {name} 127.0.0.11 | sed -n 's/^Address: //p' | tail -n 1)" if "web" in name else name
    script = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 1 {address} 5000\n"
    command, *rest = by
    return "paas demo" in host.ssh(command, app, *rest, "sh", input=script).out


def test_apps_on_one_network_reach_each_other_and_nobody_else(
    host: Door, deployed: Callable[..., str], network: str, engine: docker.DockerClient
) -> None:
    early = deployed(f"attach-post-create {network}", "tld internal")
    late, alone = deployed(f"attach-post-deploy {network}"), deployed()
    for app, alias in ((early, f"{early}.web.internal"), (late, f"{late}.web")):
        found = serving(host.paas, engine, app)["NetworkSettings"]["Networks"]
        assert alias in found[network]["Aliases"] and len(found) == 2
        own = next(item["IPAddress"] for name, item in found.items() if name != network)
        listeners = host.ssh("network:report", app, "--network-web-listeners").ok()
        assert listeners == f"{own}:5000\n", "the router stays on the network that it has for itself"
        assert host.paas.http_get(app).status == 200
    assert reaches(host, late, f"{early}.web.internal")
    assert reaches(host, early, f"{late}.web")
    assert not reaches(host, alone, f"{early}.web.internal")
    assert not reaches(host, early, f"{alone}.web")
    # Nor by their addresses: on their own network and on the one that is not theirs.
    address = serving(host.paas, engine, early)["NetworkSettings"]["Networks"]
    assert not any(reaches(host, alone, item["IPAddress"]) for item in address.values())
    # One-off containers come to what their app comes to.
    assert reaches(host, early, f"{late}.web", by=("run",))
    assert not reaches(host, alone, f"{late}.web", by=("run",))
    refused = host.ssh("network:destroy", network, "--force")
    assert refused.code == 1 and "is in use by" in refused.err


def test_the_router_finds_an_app_on_its_initial_network(
    host: Door, deployed: Callable[..., str], network: str, engine: docker.DockerClient
) -> None:
    app = deployed(f"initial-network {network}")
    found = serving(host.paas, engine, app)
    assert found["HostConfig"]["NetworkMode"] == network and list(found["NetworkSettings"]["Networks"]) == [network]
    assert f"{app}.web" in found["NetworkSettings"]["Networks"][network]["Aliases"]
    assert host.paas.http_get(app).status == 200
    # Another one besides, whose name comes first, changes nothing for the router.
    other = f"aaa-{network}"
    host.ssh("network:create", other).ok()
    host.ssh("network:set", app, "attach-post-create", other).ok()
    host.ssh("ps:restart", app).ok()
    found = serving(host.paas, engine, app)["NetworkSettings"]["Networks"]
    assert set(found) == {network, other}
    listeners = host.ssh("network:report", app, "--network-web-listeners").ok()
    assert listeners == f"{found[network]['IPAddress']}:5000\n"
    assert host.paas.http_get(app).status == 200


def test_a_missing_network_is_told_before_anything_starts(
    host: Door, deployed: Callable[..., str], engine: docker.DockerClient
) -> None:
    app = deployed()
    before = serving(host.paas, engine, app)["Id"]
    for key in ("initial-network", "attach-post-create", "attach-post-deploy"):
        host.ssh("network:set", app, key, "no-such-network").ok()
        refused = host.ssh("ps:restart", app)
        assert refused.code == 1 and " !     Network no-such-network does not exist. Nothing was changed" in refused.err
        host.ssh("network:set", app, key).ok()
    assert serving(host.paas, engine, app)["Id"] == before and host.paas.http_get(app).status == 200


def test_network_rebuild_attaches_what_serves(
    host: Door, deployed: Callable[..., str], network: str, engine: docker.DockerClient
) -> None:
    app = deployed()
    before = serving(host.paas, engine, app)
    host.ssh("network:set", app, "attach-post-deploy", network).ok()
    for _ in range(2):
        host.ssh("network:rebuild", app).ok()
    after = serving(host.paas, engine, app)
    assert after["Id"] == before["Id"] and network in after["NetworkSettings"]["Networks"]
    host.ssh("network:rebuildall").ok()
    assert host.paas.http_get(app).status == 200


def test_networks_that_it_did_not_make_are_left_alone(
    host: Door, deployed: Callable[..., str], engine: docker.DockerClient
) -> None:
    name = f"{HERE}-{uuid.uuid4().hex[:8]}"
    own = serving(host.paas, engine, deployed())["HostConfig"]["NetworkMode"]
    foreign = engine.networks.create(name, labels={"paas.root": "/somewhere/else", "paas.network": name})
    try:
        refused = host.ssh("network:destroy", name, "--force")
        assert refused.code == 1 and "was not made by network:create" in refused.err
        assert name in host.ssh("network:list").ok().splitlines()
        assert name not in host.ssh("network:list", "--dokku-managed").ok().splitlines()
        assert host.ssh("network:destroy", own, "--force").code == 1
    finally:
        foreign.remove()


def test_bind_all_interfaces(host: Door, deployed: Callable[..., str], engine: docker.DockerClient) -> None:
    app = deployed("bind-all-interfaces true")
    bindings = serving(host.paas, engine, app)["NetworkSettings"]["Ports"]["5000/tcp"]
    assert {item["HostIp"] for item in bindings} <= {"0.0.0.0", "::"}  # noqa: S104
    assert host.paas.http_get(app).status == 200
    host.ssh("network:set", app, "bind-all-interfaces", "false").ok()
    host.ssh("ps:restart", app).ok()
    assert not serving(host.paas, engine, app)["HostConfig"]["PortBindings"]


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """A server that is no app."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"elsewhere")

    do_HEAD = do_OPTIONS = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def elsewhere() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def test_static_web_listeners(host: Door, deployed: Callable[..., str], http_get: Callable[..., Response]) -> None:
    app = deployed()
    with elsewhere() as first, elsewhere() as second:
        host.ssh("network:set", app, "static-web-listener", f"127.0.0.1:{first}").ok()
        assert http_get(app).body == "elsewhere"
        host.ssh("ps:restart", app).ok()
        host.ssh("network:set", app, "static-web-listener", f"127.0.0.1:{second}").ok()
        assert http_get(app).body == "elsewhere"
        assert host.ssh("network:report", app, "--network-web-listeners").ok() == f"127.0.0.1:{second}\n"
    host.ssh("network:set", app, "static-web-listener").ok()
    for _ in range(3):
        assert http_get(app).status == 200 and http_get(app).body != "elsewhere"
