"""The limits of every container, and what docker options make of them."""

from __future__ import annotations

from typing import Any

import pytest

from paas.engine.limits import defaults, settle
from paas.engine.options import parse

NNP = "no-new-privileges"
ALL_DROPPED = ["AUDIT_WRITE", "MKNOD", "NET_RAW"]


def settled(*words: str) -> dict[str, Any]:
    host: dict[str, Any] = {}
    settle(parse(words).host, host)
    return host


@pytest.mark.parametrize(
    ("words", "dropped", "security"),
    [
        ((), ALL_DROPPED, [NNP]),
        (("--cap-drop=chown",), [*ALL_DROPPED, "CHOWN"], [NNP]),
        (("--cap-drop=ALL", "--cap-add=NET_BIND_SERVICE"), [*ALL_DROPPED, "ALL"], [NNP]),
        (("--cap-add=CAP_NET_RAW",), ["AUDIT_WRITE", "MKNOD"], [NNP]),
        (("--cap-add", "all"), [], [NNP]),
        (("--privileged",), [], []),
        (("--privileged=false",), ALL_DROPPED, [NNP]),
        (("--security-opt", "seccomp=unconfined"), ALL_DROPPED, [NNP, "seccomp=unconfined"]),
        (("--security-opt", "no-new-privileges:false"), ALL_DROPPED, [f"{NNP}=false"]),
        (("--security-opt", NNP), ALL_DROPPED, [NNP]),
    ],
)
def test_options_count_more(words: tuple[str, ...], dropped: list[str], security: list[str]) -> None:
    assert settled(*words) == {"CapDrop": dropped, "SecurityOpt": security}


def test_one_containers_options_change_no_other_ones_defaults() -> None:
    first = defaults()
    first["cap_drop"].append("CHOWN")
    first["log_config"]["config"]["max-size"] = "1"
    assert defaults() != first and defaults()["cap_drop"] == ALL_DROPPED
