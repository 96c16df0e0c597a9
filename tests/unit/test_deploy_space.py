"""How much has to be free, and what is said when it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.in_process import Commands

from paas.deploy.session import Session
from paas.deploy.sources import space
from paas.deploy.sources.space import DiskAlmostFull, disk_of, ensure_space, least


@pytest.mark.parametrize(
    ("limit", "total", "expected"),
    [
        ("", 10**12, 10**9),
        ("", 10**9, 5 * 10**7),
        ("5%", 10**12, 5 * 10**10),
        ("500m", 10**12, 5 * 10**8),
        ("2g", 10**9, 2 * 10**9),
        ("1000", 10**9, 1000),
        ("0", 10**9, 0),
    ],
)
def test_how_much_has_to_be_free(limit: str, total: int, expected: int) -> None:
    assert least(limit, total) == expected


def test_too_little_is_refused_with_the_figures(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "engine_root", lambda session: None)
    session.properties.set(0, "disk", "min-free", "900t")
    with pytest.raises(DiskAlmostFull, match=r"of .* are free, 900\.0 TB have to be\. Nothing was changed"):
        ensure_space(session)
    session.properties.set(0, "disk", "min-free", "0")
    ensure_space(session)


def test_an_engine_elsewhere_is_not_looked_at(session: Session, tmp_path: Path) -> None:
    object.__setattr__(session.settings, "docker_host", "tcp://192.0.2.1:2375")
    assert space.engine_root(session) is None
    object.__setattr__(session.settings, "docker_host", f"unix://{tmp_path}/gone.sock")
    assert space.engine_root(session) is None
    assert disk_of(tmp_path, "x").total > 0


def test_what_disk_set_takes(paas_command: Commands) -> None:
    for good in ("2g", "5%", "0", "500M"):
        assert paas_command("disk:set", "--global", "min-free", good).code == 0
    for bad in ("-1", "5x", "150%", "1.5g", "g"):
        said = paas_command("disk:set", "--global", "min-free", bad)
        assert (said.code, said.err.count("\n")) in {(1, 1), (2, 1)}, said
    assert paas_command("disk:set", "--global", "min-free").code == 0
