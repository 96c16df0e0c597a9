"""Words as a shell splits them, in a time that grows with the line only."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paas.model.words import split

PIECES = st.sampled_from(["a", "é", " ", "\t", "\n", "\r", "\v", "\u2003", "'", '"', "\\", "#", "$", "''", '""', "\0", "\udcff"])
LINES = st.lists(PIECES, max_size=15).map("".join)


@given(LINES)
@example("a'b \"c' d\"")
@example('"a\\"b\\\\c\\d" e\\ f \'\'')
def test_it_splits_as_shlex_does(line: str) -> None:
    try:
        wanted = shlex.split(line)
    except ValueError:
        with pytest.raises(ValueError, match=r"No closing quotation|No escaped character"):
            split(line)
    else:
        assert split(line) == wanted


@pytest.mark.parametrize("text", ["a", "\\a", "'a'", '"\\""', '"a"', "\\\\"])
def test_a_word_of_a_megabyte_is_one_word(text: str) -> None:
    """shlex takes half a minute for it."""
    assert len(split(text * ((1 << 20) // len(text)))) == 1
