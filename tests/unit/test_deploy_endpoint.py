"""IDLE_TIMEOUT and FORCE_SSL as Aptible's endpoints read them."""

import pytest

from paas.deploy.routing.endpoint import endpoint_options


@pytest.mark.parametrize(
    ("given", "kept"),
    [("30", "30"), ("2400", "2400"), ("29", ""), ("2401", ""), ("", ""), ("5m", ""), ("-60", ""), ("\u0663\u0660", "")],
)
def test_idle_timeout_is_a_number_of_seconds_in_range(given: str, kept: str) -> None:
    assert endpoint_options({"IDLE_TIMEOUT": given})["idle-timeout"] == kept


@pytest.mark.parametrize(("given", "kept"), [("true", "true"), ("True", ""), ("1", ""), ("", "")])
def test_force_ssl_is_exactly_true(given: str, kept: str) -> None:
    assert endpoint_options({"FORCE_SSL": given})["force-ssl"] == kept
