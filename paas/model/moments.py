"""Times as people give them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from paas.errors import PaasError
from paas.model.names import printable

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
_AGO = re.compile(r"([0-9]{1,9})([smhd])")
_EPOCH = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


class InvalidMoment(PaasError):
    """Invalid time: {given}. Give a date (2026-11-21), a time (2026-11-21T07:12:04Z, UTC without a zone), seconds since 1970, or how long ago it was (30m, 12h, 7d)"""


def parse_moment(text: str, now: float) -> float:
    """A point in time in epoch seconds. Raises InvalidMoment."""
    if ago := _AGO.fullmatch(text):
        return now - int(ago[1]) * SECONDS[ago[2]]
    if _EPOCH.fullmatch(text):
        return float(text)
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise InvalidMoment(given=printable(text)) from None
