"""Automatic certificates: which domains can have one, and when one is asked for. Times are epoch seconds."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_PAUSE_SECONDS = 3600.0
LONGEST_PAUSE_SECONDS = 24 * 3600.0
# After an attempt whose process was killed: nobody knows whether the authority has anything against it.
UNFINISHED_PAUSE_SECONDS = 60.0
RENEWED_SHARE = 3  # a certificate is renewed when one third of its lifetime is left

# Names that mean something else on every machine: no authority could find this one by them.
LOCAL = ("localhost", "local", "invalid")
# Names that no public authority certifies; one of a company's own may.
RESERVED = ("corp", "example", "home", "home.arpa", "internal", "lan", "onion", "test")


@dataclass(frozen=True)
class Attempt:
    """How asking for a domain's certificate went, and when it is asked for again (`next_at`).

    `failures`: refused attempts since the last success. `unfinished`: attempts since then of which no end is known: one
    that runs now, or whose process was killed. `wait_until`: before then the authority does not want to be asked.
    """

    app_id: int
    domain: str
    failures: int = 0
    unfinished: int = 0
    tried_at: float = 0.0
    next_at: float = 0.0
    wait_until: float = 0.0
    reason: str = ""


def obstacle(domain: str, public: bool) -> str | None:
    """Why an authority can't be asked for a domain's certificate by HTTP, None when it can. `public`: it is one that
    certifies names of the public DNS only."""
    if domain.startswith("*"):
        return "a wildcard can't be verified by HTTP; bring a certificate with certs:add"
    if "_" in domain:
        return "authorities certify no names with an underscore"
    if _below(domain, LOCAL):
        return "the name exists on this machine only"
    if public and ("." not in domain or _below(domain, RESERVED) or domain.rpartition(".")[2].isdigit()):
        return "the name is not in the public DNS"
    return None


def _below(domain: str, endings: tuple[str, ...]) -> bool:
    return any(f".{domain}".endswith(f".{ending}") for ending in endings)


def pause(failures: int) -> float:
    """Seconds until the next attempt after so many failed ones (1…): 1 h, 2 h, 4 h, … 24 h."""
    return _growing(FIRST_PAUSE_SECONDS, failures)


def unfinished_pause(unfinished: int) -> float:
    """The same after attempts that were killed: 1 min, 2 min, 4 min, … 24 h."""
    return _growing(UNFINISHED_PAUSE_SECONDS, unfinished)


def _growing(first: float, times: int) -> float:
    return min(LONGEST_PAUSE_SECONDS, first * 2.0 ** min(times - 1, 30))


def renew_at(starts_at: float, expires_at: float) -> float:
    """When a certificate's successor is asked for."""
    return expires_at - (expires_at - starts_at) / RENEWED_SHARE
