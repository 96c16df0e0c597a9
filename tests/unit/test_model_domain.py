"""Domains as people type them."""

import pytest

from paas.model.domain import Domain, InvalidDomain


@pytest.mark.parametrize("text", ["example.com", "a", "*.example.com", "x_y.example.com", "1.2", "xn--bcher-kva.ch"])
def test_domains(text: str) -> None:
    assert Domain.parse(text) == text


def test_case_does_not_matter_and_a_star_is_a_wildcard() -> None:
    assert Domain.parse("WWW.Example.COM") == "www.example.com"
    assert Domain.parse("*.example.com").is_wildcard and not Domain.parse("example.com").is_wildcard


@pytest.mark.parametrize(
    "text",
    [
        *("", "*", "*.", "a..b", "a.", ".a", "-a.org", "a-.org", "a b", "a/b", "http://a.org", "a:80", "x.*.org"),
        *("a*.org", "bücher.ch", "a\nb", "\u212a.org", "a" * 254, "-f", "--help"),
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidDomain, match=r" is invalid\. exiting\.\.\."):
        Domain.parse(text)
