"""Which router there is, and what it says when HAProxy is missing."""

from pathlib import Path

import pytest

from paas.router import Direct, HAProxy, Routes, binary, choose
from paas.router.configuration import MASTER_SOCKET
from paas.settings import Settings


def settings(root: Path, listen: str = "127.0.0.1:8080") -> Settings:
    return Settings.from_environment({"PAAS_ROOT": str(root), "PAAS_HTTP_LISTEN": listen})


def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    program = tmp_path / "haproxy"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def test_without_haproxy_ports_are_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "find", lambda: None)
    router = choose(settings(tmp_path))
    assert isinstance(router, Direct)
    assert router.publishes_ports
    assert router.missing is not None and "apt-get install haproxy" in router.missing
    assert router.url("a.localhost", 32768) == "http://127.0.0.1:32768"
    assert not router.apply(Routes()).running
    assert router.drained(1, "a")
    router.remove(1, "a")


def test_an_old_haproxy_will_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, "HAProxy version 2.4.22 2023/02/14")
    assert "2.4 is too old" in (choose(settings(tmp_path)).missing or "")


def test_a_new_haproxy_will(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, "HAProxy version 3.0.1 2024/06/10")
    router = choose(settings(tmp_path))
    assert isinstance(router, HAProxy)
    assert not router.publishes_ports and router.missing is None
    assert not router.is_running()


def test_urls_name_the_port_unless_it_is_80(tmp_path: Path) -> None:
    assert HAProxy(settings(tmp_path)).url("a.localhost") == "http://a.localhost:8080"
    assert HAProxy(settings(tmp_path, ":80")).url("a.org", 32768) == "http://a.org"


def test_the_command_runs_in_the_foreground_and_tells_systemd_when_asked(tmp_path: Path) -> None:
    router = HAProxy(settings(tmp_path))
    assert "-db" in router.command() and "-W" in router.command()
    assert "-Ws" in router.command(notify=True) and "-db" not in router.command(notify=True)


def test_apply_without_a_running_haproxy_still_writes_the_files(tmp_path: Path) -> None:
    router = HAProxy(settings(tmp_path))
    assert not router.apply(Routes()).running
    assert {path.name for path in (tmp_path / "router").iterdir()} == {
        "404.html",
        "503.html",
        "domains.map",
        "certificates",
        "verified.map",
        "haproxy.cfg",
    }
    assert not router.write(Routes())


def test_the_installed_router_can_be_reloaded_too() -> None:
    """The agent asks HAProxy's master for a reload: at its socket, wherever HAProxy was started."""
    unit = (Path(__file__).parents[2] / "systemd/paas-router.service").read_text()
    start = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert f" -S unix@/var/lib/paas/run/{MASTER_SOCKET},mode,600 " in start
