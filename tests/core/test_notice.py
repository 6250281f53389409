"""Warnings at the user's line, and names in messages."""

import pytest

from pathwayae.core.notice import DataWarning, listed, warn


def test_a_warning_points_at_the_line_that_called_the_package():
    with pytest.warns(DataWarning, match="what to do") as caught:
        warn("what to do")
    assert caught[0].filename == __file__


def test_the_first_names_are_listed_and_the_others_counted():
    assert listed(["a"]) == "'a'"
    assert listed("abc") == "'a', 'b', 'c'"
    assert listed(iter("abcde")) == "'a', 'b', 'c' and 2 more"
    assert listed([1, 2], 1, quoted=False) == "1 and 1 more"
    assert listed([]) == "none"
