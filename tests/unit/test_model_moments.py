"""Times as people give them."""

from __future__ import annotations

import pytest

from paas.model.moments import InvalidMoment, parse_moment

NOON = 1_763_726_400.0  # 2025-11-21T12:00:00Z


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", NOON - 1800),
        ("7d", NOON - 7 * 86400),
        ("2025-11-21", NOON - 12 * 3600),
        ("2025-11-21T12:00:00Z", NOON),
        ("2025-11-21T13:00:00+01:00", NOON),
        ("2025-11-21 12:00", NOON),
        ("1763726400", NOON),
        ("0", 0.0),
    ],
)
def test_moments(text: str, expected: float) -> None:
    assert parse_moment(text, NOON) == expected


@pytest.mark.parametrize("text", ["yesterday", "-1h", "1e9", "2025-13-01", "9" * 40, "\x00"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(InvalidMoment) as caught:
        parse_moment(text, NOON)
    assert len(caught.value.lines) == 1
