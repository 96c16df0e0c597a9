"""What every container is kept from, what it still may, and how an administrator takes each limit back."""

from __future__ import annotations

import json
from typing import Any

import docker
import pytest
from conftest import MakeImage
from support.clients import until
from support.doors import Door

# The eleven of Docker's fourteen capabilities that stay, as the kernel counts them.
KEPT = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8,
    "NET_BIND_SERVICE": 10, "SYS_CHROOT": 18, "SETFCAP": 31,
}  # fmt: skip
NET_RAW = 13
STATUS = "grep -E '^(CapBnd|NoNewPrivs)' /proc/self/status"
LIMITS = {
    "PidsLimit": 4096,
    "SecurityOpt": ["no-new-privileges"],
    "CapDrop": ["AUDIT_WRITE", "MKNOD", "NET_RAW"],
    "LogConfig": {"Type": "json-file", "Config": {"max-file": "2", "max-size": "10m"}},
    "Privileged": False,
}
# What images that start as root do before they serve: give files away, change to another user, use low ports, package
# managers' chroot, end processes of others.
ORDINARY = r"""
set -e
mkdir -p /tmp
touch /tmp/file; chown 1000:1000 /tmp/file; chmod 600 /tmp/file; cat /tmp/file; rm /tmp/file
mkdir -p /tmp/data; chown 1000 /tmp/data; chmod u+s,g+s /tmp/data; touch /tmp/data/by-root
printf 'root:x:0:0::/:/bin/sh\nworker:x:1234:1234::/:/bin/sh\n' > /etc/passwd
printf 'root:x:0:\nworker:x:1234:\n' > /etc/group
test "$(su worker -s /bin/sh -c 'id -u')" = 1234
su worker -s /bin/sh -c 'sleep 1000' & sleep 1; kill $!; wait $! || true
httpd -p 80; wget -q -O /dev/null http://127.0.0.1:80/etc/passwd || true; killall httpd
su worker -s /bin/sh -c 'httpd -p 81'
chroot / true
echo all of it works
"""
FORBIDDEN = "mknod /disk b 8 0 2>/dev/null || echo no device; arping -c 1 -w 1 127.0.0.1 2>&1 | grep -o 'not permitted'"


@pytest.fixture(scope="module")
def app(paas: Any, make_image: MakeImage) -> str:
    procfile = f"web: exec httpd -f -p \\$PORT -h /www\\nrelease: {STATUS}\\n"
    image = make_image("limited", "WORKDIR /app", f'RUN printf "{procfile}" > Procfile')
    paas.command("apps:create", "limited").ok()
    said = paas.command("git:from-image", "limited", image).ok()
    assert kept(said), "release commands have the same limits"
    return "limited"


def kept(said: str) -> bool:
    """Whether a process that printed its STATUS has the capabilities that are kept, and will get no more."""
    words = said.split()
    bounds = int(words[words.index("CapBnd:") + 1], 16)
    return bounds == sum(1 << place for place in KEPT.values()) and words[words.index("NoNewPrivs:") + 1] == "1"


def inspected(engine: docker.DockerClient, host: Door, app: str) -> dict[str, Any]:
    labels = {"label": [f"paas.root={host.paas.root}", f"paas.app={app}", "paas.process=web.1"], "status": "running"}
    # The one before may still finish what it was asked.
    found = max(engine.api.containers(filters=labels), key=lambda item: int(item["Created"]))
    answer: dict[str, Any] = engine.api.inspect_container(found["Id"])["HostConfig"]
    return answer


def test_a_process_has_the_limits(host: Door, engine: docker.DockerClient, app: str) -> None:
    found = inspected(engine, host, app)
    assert {key: found[key] for key in LIMITS} == LIMITS
    assert not found["PortBindings"] and found["Binds"] is None and found["IpcMode"] == "private"


def test_what_runs_beside_it_has_them_too(host: Door, app: str) -> None:
    assert kept(host.ssh("run", app, "sh", "-c", f'"{STATUS}"').ok())
    assert kept(host.ssh("enter", app, "web", "sh", "-c", f'"{STATUS}"').ok())
    name = host.ssh("run:detached", app, "sh", "-c", f'"{STATUS}; sleep 1000"').ok().strip()
    try:
        assert until(lambda: "NoNewPrivs" in (said := host.ssh("run:logs", "--container", name).out) and kept(said))
    finally:
        host.ssh("run:stop", "--container", name).ok()


def test_an_ordinary_image_notices_nothing(host: Door, app: str) -> None:
    assert "all of it works" in host.ssh("run", app, "sh", "-s", input=ORDINARY).ok()


def test_devices_and_raw_packets_are_out_of_reach(host: Door, app: str) -> None:
    """Attack: with raw packets one app could take another one's address on the network that they share."""
    assert host.ssh("run", app, "sh", "-s", input=FORBIDDEN).out.split("\n")[:2] == ["no device", "not permitted"]


def test_an_administrator_takes_limits_back(host: Door, engine: docker.DockerClient, app: str) -> None:
    words = "--pids-limit -1 --cap-add NET_RAW --security-opt no-new-privileges=false --log-opt max-file=5"
    host.ssh("docker-options:add", app, "deploy,run", *words.split()).ok()
    host.ssh("logs:set", app, "max-size", "1m").ok()
    host.ssh("ps:restart", app).ok()
    found = inspected(engine, host, app)
    assert found["PidsLimit"] in (None, 0, -1)
    assert found["CapDrop"] == ["AUDIT_WRITE", "MKNOD"] and found["CapAdd"] in (["NET_RAW"], ["CAP_NET_RAW"])
    assert found["SecurityOpt"] == ["no-new-privileges=false"]
    assert found["LogConfig"]["Config"] == {"max-file": "5", "max-size": "1m"}
    said = host.ssh("run", app, "sh", "-c", f'"{STATUS}"').ok().split()
    assert int(said[said.index("CapBnd:") + 1], 16) >> NET_RAW & 1 and said[said.index("NoNewPrivs:") + 1] == "0"
    listed = json.loads(host.ssh("docker-options:report", app, "--format", "json").ok())
    assert "--pids-limit -1" in listed["docker-options-deploy"]
