"""How much there may be at once: read from the environment, refused where it is no number."""

from __future__ import annotations

import pytest

from paas.settings import Settings


def test_limits_are_read() -> None:
    usual = Settings.from_environment({"PAAS_ROOT": "/x"})
    assert (usual.max_commands, usual.max_connections, usual.login_seconds) == (512, 256, 60)
    told = {"PAAS_MAX_COMMANDS": "7", "PAAS_SSH_MAX_CONNECTIONS": "8", "PAAS_SSH_LOGIN_SECONDS": "9", "PAAS_MAX_BUILDS": "3"}
    found = Settings.from_environment({"PAAS_ROOT": "/x", **told})
    assert (found.max_commands, found.max_connections, found.login_seconds, found.max_builds) == (7, 8, 9, 3)


@pytest.mark.parametrize("text", ["0", "-1", "1e3", "many", "99999999999999999999", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_what_is_no_number_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"PAAS_MAX_COMMANDS: .* is not a number from 1 to 100000"):
        Settings.from_environment({"PAAS_ROOT": "/x", "PAAS_MAX_COMMANDS": text})
