"""Containers: started, waited for, read, entered, and kept apart on their network."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
from docker import APIClient

from paas.engine.client import engine_errors
from paas.engine.containers import ContainerGone, Containers, ContainerSpec, StartFailed
from paas.errors import EngineFailed

Start = Callable[..., str]
GONE = "0" * 64


def until_listening(containers: Containers, container: str) -> None:
    """Return when port 5000 of a container accepts from this machine."""
    while True:
        try:
            return socket.create_connection((containers.state(container).address, 5000), timeout=5).close()
        except ConnectionRefusedError:
            assert containers.state(container).running


def until_said(containers: Containers, container: str, text: bytes) -> None:
    while text not in containers.logs(container, 10):
        assert containers.state(container).running


def test_a_container_that_can_not_start_says_why(create: Start, containers: Containers, build: Start, busybox: str) -> None:
    container = create("true", image=build(f"FROM {busybox}\nUSER nosuch\n"))
    with pytest.raises(StartFailed) as caught:
        containers.start(container, "web.1")
    message = str(caught.value)
    assert message.startswith("web.1 can't be started: ") and "nosuch" in message
    assert len(caught.value.lines) == 1 and not message.endswith("unknown")


def test_a_command_that_is_not_there_ends_with_127_and_says_which(start: Start, containers: Containers) -> None:
    container = start("/bin/nosuch", "-x")
    assert containers.wait(container) == 127
    assert b"/bin/nosuch" in containers.logs(container, 50)


def test_an_image_that_is_not_there(create: Start) -> None:
    with pytest.raises(EngineFailed, match=r"(?i)no such image") as caught:
        create("true", image="paas-test-nope:1")
    assert len(caught.value.lines) == 1


def test_the_exit_code_is_waited_for(start: Start, containers: Containers) -> None:
    container = start("sh", "-c", "exit 7")
    assert containers.wait(container) == 7
    state = containers.state(container)
    assert (state.running, state.status, state.exit_code, state.oom_killed) == (False, "exited", 7, False)


def test_waiting_ends_after_its_time(start: Start, containers: Containers) -> None:
    container = start("sleep", "1000")
    assert containers.wait(container, 1) is None
    assert containers.state(container).running


def test_containers_that_are_gone(containers: Containers) -> None:
    for action in (containers.state, containers.wait):
        with pytest.raises(ContainerGone):
            action(GONE)
    assert containers.find(GONE) is None
    containers.stop(GONE)
    containers.remove(GONE)
    containers.kill(GONE)
    assert containers.exec_code(GONE, ("true",), 5) is None


def test_the_last_lines_of_both_streams(start: Start, containers: Containers) -> None:
    container = start("sh", "-c", "for n in 1 2 3 4; do echo out $n; echo err $n >&2; done")
    containers.wait(container)
    assert sorted(containers.logs(container, 100).split(b"\n")) == sorted(
        [b""] + [b"%s %d" % (kind, n) for kind in (b"out", b"err") for n in (1, 2, 3, 4)]
    )
    assert len(containers.logs(container, 3).splitlines()) == 3


def test_running_to_the_end_hands_on_output_as_it_comes(create: Start, containers: Containers) -> None:
    said: list[bytes] = []
    container = create("sh", "-c", "echo one; read line; printf two; exit 5")
    assert containers.run_to_end(container, "x", said.append) == 5
    assert b"".join(said) == b"one\ntwo", "it has no input to wait for"
    said.clear()
    assert containers.run_to_end(create("sh", "-c", "echo error >&2"), "x", said.append) == 0
    assert b"".join(said) == b"error\n"


def test_commands_in_a_running_container(start: Start, containers: Containers) -> None:
    container = start("sleep", "1000")
    assert containers.exec_code(container, ("true",), 5) == 0
    assert containers.exec_code(container, ("sh", "-c", "exit 3"), 5) == 3
    assert containers.exec_code(container, ("nosuch",), 5) != 0
    assert containers.exec_code(container, ("sleep", "1000"), 0.1) is None
    assert containers.exec_code(container, ("yes",), 0.1) is None
    containers.kill(container)
    containers.wait(container)
    containers.kill(container)
    assert containers.exec_code(container, ("true",), 5) is None


def test_stopping_asks_first_and_kills_then(
    start: Start, containers: Containers, labels: dict[str, str], busybox: str
) -> None:
    polite = start("sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done")
    until_said(containers, polite, b"ready")
    containers.stop(polite)
    assert containers.state(polite).exit_code == 9
    command = ("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
    deaf = containers.create(ContainerSpec("paas-test-deaf", busybox, labels, {}, "bridge", command, stop_seconds=1))
    try:
        containers.start(deaf, "web.1")
        until_said(containers, deaf, b"ready")
        containers.stop(deaf)
        assert containers.state(deaf).exit_code == 137
        containers.stop(deaf)
    finally:
        containers.remove(deaf)


def test_containers_are_found_by_all_their_labels(
    create: Start, containers: Containers, labels: dict[str, str], busybox: str
) -> None:
    plain = create("true")
    other = containers.create(ContainerSpec("paas-test-labelled", busybox, labels | {"paas.app": "x=y"}, {}, "bridge"))
    try:
        assert set(containers.ids(labels)) >= {plain, other}
        assert containers.ids(labels | {"paas.app": "x=y"}) == [other]
        assert containers.ids(labels | {"paas.app": "x"}) == []
        listed = containers.listed(labels | {"paas.app": "x=y"})
        assert [item["Id"] for item in listed] == [other] and listed[0]["State"] == "created"
    finally:
        containers.remove(other)


def test_what_a_spec_becomes(containers: Containers, labels: dict[str, str], busybox: str) -> None:
    spec = ContainerSpec(
        "paas-test-spec", busybox, labels, {"A": "b c", "E": ""}, "bridge", ("httpd", "-f", "-p", "5000"), publish=5000
    )
    container = containers.create(spec)
    try:
        containers.start(container, "web.1")
        state, data = containers.state(container), containers.inspect(container)
        assert state.published_port is not None and state.address and state.labels == labels
        socket.create_connection(("127.0.0.1", state.published_port), timeout=5).close()
        assert data["HostConfig"]["PortBindings"] == {"5000/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
        assert data["HostConfig"]["Init"] and data["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")
        assert {"A=b c", "E="} <= set(data["Config"]["Env"])
        assert data["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "2", "max-size": "10m"}}
        containers.set_restart_policy(container, {"Name": "on-failure", "MaximumRetryCount": 10})
        policy = containers.inspect(container)["HostConfig"]["RestartPolicy"]
        assert policy == {"Name": "on-failure", "MaximumRetryCount": 10}
    finally:
        containers.remove(container)


@pytest.fixture
def network(containers: Containers, api: APIClient, labels: dict[str, str]) -> Iterator[str]:
    name = "paas-test-network"
    containers.ensure_network(name, labels)
    yield name
    with engine_errors():
        api.remove_network(name)


def test_the_network_is_made_once(
    containers: Containers, api: APIClient, network: str, labels: dict[str, str]
) -> None:
    containers.ensure_network(network, labels)
    found = api.networks(names=[network])
    assert len(found) == 1 and found[0]["Labels"] == labels


def test_a_chosen_address_is_kept_for_life(
    containers: Containers, labels: dict[str, str], network: str, start: Start, busybox: str
) -> None:
    fixed = containers.ensure_network(network, labels)
    assert fixed is not None and fixed.at(0) == fixed.at(fixed.count)
    by_engine = start("sleep", "1000", network=network)
    command = ("sleep", "1000")
    spec = ContainerSpec("paas-test-fixed", busybox, labels, {}, network, command, address=fixed.at(7))
    chosen = containers.create(spec)
    try:
        for _ in range(2):
            containers.start(chosen, "web.1")
            assert containers.state(chosen).address == fixed.at(7)
            containers.kill(chosen)
            containers.wait(chosen)
        addresses = {state.id: state.address for state in containers.states(labels)}
        assert addresses[by_engine] == containers.state(by_engine).address
        up = {state.id for state in containers.states(labels) if state.up}
        assert by_engine in up and chosen not in up
    finally:
        containers.remove(chosen)


def test_apps_can_not_reach_each_other_but_the_host_reaches_them(
    containers: Containers, network: str, start: Start
) -> None:
    server, client = start(network=network), start("sleep", "1000", network=network)
    until_listening(containers, server)
    address = containers.state(server).address
    connect = ("sh", "-c", f"nc -w 1 {address} 5000 < /dev/null")
    assert containers.exec_code(server, connect, 10) == 0, "it reaches itself"
    assert containers.exec_code(client, connect, 10) == 1
