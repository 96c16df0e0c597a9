"""Words of `docker run`: what the engine's create call gets for them."""

from __future__ import annotations

from typing import Any

import pytest

from paas.engine.option_values import duration, published, size
from paas.engine.options import BadOption, apply, parse, without


def body(*words: str, **config: Any) -> dict[str, Any]:
    """The create call's body after the words, over a body that a container of ours begins with."""
    host = {"NetworkMode": "paas", "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}}}
    made = {"HostConfig": host, "Env": ["A=1"], "Labels": {"paas.app": "x"}} | config
    made["Further"] = apply(parse(words), made)
    return made


HOST = [
    (("--shm-size 256m",), {"ShmSize": 256 * 2**20}),
    (("--shm-size", "1g"), {"ShmSize": 2**30}),
    (("-m512m", "-m", "1g"), {"Memory": 2**30}),
    (("--memory=1.5g", "--memory-swap=-1"), {"Memory": 3 * 2**29, "MemorySwap": -1}),
    (("--cpus", ".5", "--cpuset-cpus=0,1"), {"NanoCpus": 500_000_000, "CpusetCpus": "0,1"}),
    (("-v /a:/b:ro", "-v", "data:/c"), {"Binds": ["/a:/b:ro", "data:/c"]}),
    (("-v/a:/b", "--volume=/z:/b/"), {"Binds": ["/z:/b/"]}),
    (("--tmpfs=/run:size=8m", "--tmpfs", "/x"), {"Tmpfs": {"/run": "size=8m", "/x": ""}}),
    (("-p", "127.0.0.1:53:5353/udp"), {"PortBindings": {"5353/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}]}}),
    (("--cap-add", "SYS_ADMIN", "--cap-add=SYS_ADMIN"), {"CapAdd": ["SYS_ADMIN"]}),
    (("--device /dev/fuse:rw",), {"Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rw"}]}),
    (("--ulimit", "nofile=10:20"), {"Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}]}),
    (("--add-host=db:10.0.0.1", "--add-host", "six=[::1]"), {"ExtraHosts": ["db:10.0.0.1", "six:::1"]}),
    (("--sysctl", "net.core.somaxconn=1024"), {"Sysctls": {"net.core.somaxconn": "1024"}}),
    (("--init=false", "--privileged", "--read-only"), {"Init": False, "Privileged": True, "ReadonlyRootfs": True}),
    (("--security-opt", "no-new-privileges"), {"SecurityOpt": ["no-new-privileges"]}),
    (("--log-opt", "max-size=1m"), {"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}}),
    (("--log-driver", "syslog", "--log-opt=tag=x"), {"LogConfig": {"Type": "syslog", "Config": {"tag": "x"}}}),
    (("--device-read-bps=/dev/sda:1mb",), {"BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 2**20}]}),
]  # fmt: skip


@pytest.mark.parametrize(("words", "expected"), HOST)
def test_the_host_config(words: tuple[str, ...], expected: dict[str, Any]) -> None:
    host = body(*words)["HostConfig"]
    assert {key: host.get(key) for key in expected} == expected


def test_what_stands_beside_the_host_config() -> None:
    made = body(
        "-e", "A=2", "--env=B=x y", "-l=com.example=1", "-u", "1000:1000", "-w /app", "-h box", "--entrypoint=/run.sh",
        "--stop-signal", "SIGINT", "--stop-timeout=7", "--health-cmd 'curl -f x'", "--health-interval=1m30s",
        "--expose", "80-81", "-p", "90",
    )  # fmt: skip
    assert made["Env"] == ["A=2", "B=x y"]
    assert made["Labels"] == {"paas.app": "x", "com.example": "1"}
    assert (made["User"], made["WorkingDir"], made["Hostname"]) == ("1000:1000", "/app", "box")
    assert (made["Entrypoint"], made["StopSignal"], made["StopTimeout"]) == (["/run.sh"], "SIGINT", 7)
    assert made["Healthcheck"] == {"Test": ["CMD-SHELL", "'curl -f x'"], "Interval": 90 * 10**9}
    assert sorted(made["ExposedPorts"]) == ["80/tcp", "81/tcp", "90/tcp"]
    assert body("--health-cmd=x", "--no-healthcheck")["Healthcheck"] == {"Test": ["NONE"]}


def test_ports_that_the_container_has_already_stay() -> None:
    host = {"NetworkMode": "paas", "PortBindings": {"5000/tcp": [{"HostIp": "127.0.0.1", "HostPort": None}]}}
    made = body("-p", "8080:80", HostConfig=host, ExposedPorts={"5000/tcp": {}})
    assert (
        sorted(made["HostConfig"]["PortBindings"]) == sorted(made["ExposedPorts"]) == ["5000/tcp", "80/tcp"]
    )


def test_mounts_of_each_kind_and_the_later_one_for_a_path() -> None:
    made = body(
        "-v=/a:/data", "--mount=type=bind,src=/b,dst=/data,readonly", "--mount", "src=vol,target=/v,volume-opt=type=nfs",
        "--mount=type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777", "-v", "/anonymous",
    )  # fmt: skip
    assert "Binds" not in made["HostConfig"]
    assert made["HostConfig"]["Mounts"] == [
        {"Type": "bind", "Source": "/b", "Target": "/data", "ReadOnly": True},
        {
            "Type": "volume",
            "Source": "vol",
            "Target": "/v",
            "VolumeOptions": {"DriverConfig": {"Options": {"type": "nfs"}}},
        },
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 2**20, "Mode": 0o1777}},
    ]
    assert made["Volumes"] == {"/anonymous": {}}


def test_gpus() -> None:
    def request(text: str) -> tuple[Any, ...]:
        found = body("--gpus", text)["HostConfig"]["DeviceRequests"][0]
        return found["Count"], found["DeviceIDs"], found["Capabilities"]

    assert request("all") == (-1, None, [["gpu"]])
    assert request("2") == (2, None, [["gpu"]])
    assert request('"device=0,2"') == (0, ["0", "2"], [["gpu"]])
    assert request("device=0,2") == (0, ["0", "2"], [["gpu"]])
    assert request("all,capabilities=utility") == (-1, None, [["gpu", "utility"]])


def test_the_first_network_is_its_own_and_the_others_are_joined() -> None:
    made = body("--network=one", "--network-alias", "db", "--net", "name=two,alias=x,ip=10.0.0.9")
    assert made["HostConfig"]["NetworkMode"] == "one"
    assert made["NetworkingConfig"] == {"EndpointsConfig": {"one": {"Aliases": ["db"]}}}
    assert made["Further"] == [("two", {"Aliases": ["x"], "IPAMConfig": {"IPv4Address": "10.0.0.9"}})]
    alone = body("--network=one", "--network=host")
    assert (alone["HostConfig"]["NetworkMode"], alone["Further"]) == ("host", [])
    linked = body("--link", "db:database")
    assert linked["NetworkingConfig"] == {"EndpointsConfig": {"paas": {"Links": ["db:database"]}}}


def test_restart_and_platform_are_for_others_to_use() -> None:
    options = parse(["--restart=on-failure:3", "--platform", "linux/arm64"])
    assert options.restart == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert options.platform == "linux/arm64"
    assert options.host == {}


BAD = [
    ("--shm-size=lots", "'lots' is not a size like 256m or 1g"),
    ("--memory", "it needs a value"),
    ("--cpus=0", "is not a number of processors"),
    ("-v=a/b:/c", "neither an absolute path nor a volume's name"),
    ("-v=/a:b", "is not an absolute path"),
    ("-v=/a:/b:bad", "'bad' is not a mode of a volume"),
    ("-p=0:99999", "is not a port from 1 to 65535"),
    ("-p=1-2:1-3", "ranges of different lengths"),
    ("--mount=type=bind,source=a,target=/b", "needs an absolute source"),
    ("--mount=type=volume,target=/b,tmpfs-size=1m", "don't go with type volume"),
    ("--mount=nonsense=1,target=/b", "'nonsense' is not known in a mount"),
    ("--restart=sometimes", "is not one of no, always, unless-stopped, on-failure[:N]"),
    ("--restart=always:3", "is not one of no, always"),
    ("--label=paas.root=/x", "labels that begin with paas. are paas's own"),
    ("--env=NAME", "is not NAME=VALUE"),
    ("--env-file=/etc/shadow", "no file of the host is read"),
    ("--security-opt=seccomp=/etc/shadow", "only unconfined and builtin"),
    ("--name=web", "paas itself decides that"),
    ("--rm", "paas itself decides that"),
    ("-it", "paas itself decides that"),
    ("--build-arg=A=1", "option of the build phase"),
    ("--nonsense=1", "it is not known here"),
    ("--privileged=perhaps", "neither true nor false"),
    ("image", "it does not begin with -"),
    ("", "it does not begin with -"),
    ("--", "it is not known here"),
    ("-", "it is not known here"),
]


@pytest.mark.parametrize(("word", "reason"), BAD)
def test_what_is_refused_says_why(word: str, reason: str) -> None:
    with pytest.raises(BadOption) as caught:
        parse([word])
    assert reason in str(caught.value) and len(caught.value.lines) == 1


def test_sizes_durations_and_ports() -> None:
    assert [size(text) for text in ("64", "64b", "1k", "2KB", "1MiB", "0.5G")] == [
        64,
        64,
        1024,
        2048,
        2**20,
        2**29,
    ]
    assert [duration(text) for text in ("0", "500ms", "1h2m3s")] == [0, 500 * 10**6, 3723 * 10**9]
    assert published("8080-8081:80-81") == {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
        "81/tcp": [{"HostIp": "", "HostPort": "8081"}],
    }
    assert published("[::1]::80") == {"80/tcp": [{"HostIp": "::1", "HostPort": ""}]}


def test_some_flags_can_be_left_out() -> None:
    assert without(("-m", "1g", "-v /a:/b", "--cpus=1"), "--memory", "--cpus") == ("--volume=/a:/b",)
