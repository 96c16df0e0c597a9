"""When certificates are asked for, and for which domains."""

import pytest

from paas.model.renewal import obstacle, pause, renew_at, unfinished_pause

HOUR = 3600


def test_pauses_grow_to_a_day() -> None:
    assert [pause(times) / HOUR for times in range(1, 8)] == [1, 2, 4, 8, 16, 24, 24]
    assert [unfinished_pause(times) / 60 for times in (1, 2, 3)] == [1, 2, 4]
    assert pause(10_000) == unfinished_pause(10_000) == 24 * HOUR


def test_a_third_of_the_lifetime_is_left() -> None:
    assert renew_at(1000, 1090) == 1060


@pytest.mark.parametrize(
    ("domain", "public", "private"),
    [
        ("www.example.com", True, True),
        ("xn--bcher-kva.de", True, True),
        ("a.b.c.d.example.org", True, True),
        ("shop.internal", False, True),
        ("shop.test", False, True),
        ("nas.home.arpa", False, True),
        ("host", False, True),
        ("10.0.0.1", False, True),
        ("localhost", False, False),
        ("shop.localhost", False, False),
        ("printer.local", False, False),
        ("*.example.com", False, False),
        ("my_app.example.com", False, False),
        ("notlocalhost.com", True, True),
        ("testing.latest", True, True),
    ],
)
def test_which_domains_can_have_one(domain: str, public: bool, private: bool) -> None:
    assert (obstacle(domain, True) is None, obstacle(domain, False) is None) == (public, private)
