"""install.sh and the units that it installs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.server import CHECKOUT, Result, free_port, run

INSTALL = CHECKOUT / "install.sh"
UNITS = sorted((CHECKOUT / "systemd").glob("*.service"))
DEMO_SECONDS = 280


def test_units_are_valid(tmp_path: Path) -> None:
    """`systemd-analyze verify` in a root where the programs that the units start exist."""
    units = tmp_path / "etc/systemd/system"
    shutil.copytree("/usr/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    for unit in UNITS:
        units.mkdir(parents=True, exist_ok=True)
        shutil.copy(unit, units)
        for program in re.findall(r"^Exec\w+=(/\S+)", unit.read_text(), re.MULTILINE):
            target = tmp_path / program.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("#!/bin/sh\n")
            target.chmod(0o755)
    names = [unit.name for unit in UNITS]
    verified = run(["systemd-analyze", f"--root={tmp_path}", "verify", *names])
    # An unknown setting is only a warning, with exit code 0.
    assert (verified.code, verified.err) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_are_hardened(unit: Path) -> None:
    """`systemd-analyze security` gives at most 2.5 of 10, where 10 is a service that may do everything."""
    found = run(["systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=25", str(unit)])
    assert found.code == 0, found.out
    text = unit.read_text()
    assert "\nUser=paas\n" in text and "NoNewPrivileges=true" in text and "SystemCallFilter=@system-service" in text
    capabilities = "CAP_NET_BIND_SERVICE" if "haproxy" in text else ""
    assert f"\nCapabilityBoundingSet={capabilities}\n" in text


def test_help_names_every_command() -> None:
    helped = run([str(INSTALL), "--help"])
    assert helped.code == 0
    commands = set(re.findall(r"^        '([a-z]+) ", INSTALL.read_text(), re.MULTILINE)) - {"help"}
    assert commands == {"install", "demo", "stop", "uninstall"}
    assert all(command in helped.out for command in commands)


@pytest.mark.parametrize("words", [["nope"], ["demo", "--purge"], ["uninstall", "--all"]])
def test_unknown_words_are_refused_before_anything_happens(words: list[str], tmp_path: Path) -> None:
    refused = run([str(INSTALL), *words], env={**os.environ, "PAAS_PREFIX": str(tmp_path / "opt")})
    assert refused.code == 2
    assert "Usage:" in refused.err
    assert list(tmp_path.iterdir()) == []


def test_lock_has_what_pyproject_asks_for() -> None:
    """Exact versions within the ranges, dependencies of dependencies included, and no index address."""
    text = (CHECKOUT / "requirements.lock").read_text()
    assert "://" not in text
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", text, re.MULTILINE))
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(line) for line in project["dependencies"]]
    for name in locked:
        wanted += [r for r in map(Requirement, requires(name) or []) if not r.marker or r.marker.evaluate({"extra": ""})]
    for requirement in wanted:
        version = locked.get(canonicalize_name(requirement.name))
        assert version and requirement.specifier.contains(version), str(requirement)


@pytest.fixture(scope="module")
def private() -> Iterator[dict[str, str]]:
    """The environment of an installation that keeps to directories of its own."""
    base = Path(f"/tmp/paas-test-{os.getpid()}-install")
    base.mkdir()
    env = {
        **os.environ,
        "PAAS_PREFIX": str(base / "opt"),
        "PAAS_ROOT": str(base / "data"),
        "PAAS_SSH_LISTEN": f"127.0.0.1:{free_port()}",
        "PAAS_HTTP_LISTEN": f"127.0.0.1:{free_port()}",
        "PAAS_HTTPS_LISTEN": f"127.0.0.1:{free_port()}",
    }
    yield env
    install("uninstall", "--purge", env=env)
    shutil.rmtree(base, ignore_errors=True)


def install(*words: str, env: dict[str, str]) -> Result:
    return run([str(INSTALL), *words], env=env, timeout=DEMO_SECONDS)


def test_demo_twice_then_uninstall(private: dict[str, str]) -> None:
    first = install("demo", env=private).ok()
    for way in ("an image", "a tar", "git push"):
        assert f"<h1>Hello from the paas demo, version 1 ({way})</h1>" in first
    assert "Try next:" in first

    paas = Path(private["PAAS_PREFIX"]) / "bin/paas"
    assert "maintenance:report" in run([str(paas), "maintenance:help"], env=private).ok(), "shipped plugins are installed"

    again = install("demo", env=private).ok()
    assert again.count("<h1>Hello from the paas demo") == 3
    assert "Creating" not in again
    assert "is up to date" in again

    base = Path(private["PAAS_ROOT"]).parent
    install("uninstall", env=private).ok()
    assert [path.name for path in sorted(base.iterdir())] == ["data", "data-demo"]
    install("uninstall", "--purge", env=private).ok()
    assert list(base.iterdir()) == []
    left = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label=paas.root={private['PAAS_ROOT']}"], capture_output=True, text=True
    )
    assert (left.returncode, left.stdout) == (0, "")


def test_stop_of_nothing_is_fine(private: dict[str, str]) -> None:
    assert install("stop", env=private).code == 0
