"""Whole strata in folds, against a loop that looks for the emptiest one."""

import numpy as np
import pytest

from pathwayae.core.moments.accumulate import accumulate
from pathwayae.core.moments.folds import deal, folds, together
from pathwayae.core.moments.moments import Moments


@pytest.mark.parametrize("n_folds", [1, 3, 12])
def test_each_stratum_goes_into_the_fold_with_the_fewest_cells(n_folds):
    rng = np.random.default_rng(n_folds)
    counts, names = rng.integers(1, 5, size=10).astype(float), [f"s{i}" for i in rng.permutation(10)]  # many equal
    expected, filled = {}, [0.0] * n_folds
    for name in sorted(names, key=lambda name: (-counts[names.index(name)], name)):
        emptiest = min(range(n_folds), key=lambda j: filled[j])
        expected[name] = emptiest
        filled[emptiest] += counts[names.index(name)]
    found = deal(counts, names, n_folds)
    assert dict(zip(names, found.tolist(), strict=True)) == expected
    order = rng.permutation(10)
    again = deal(counts[order], [names[i] for i in order], n_folds)
    np.testing.assert_array_equal(again, found[order])


def test_strata_are_pooled_whole_the_largest_first():
    counts = np.array([5.0, 1.0, 4.0, 2.0])
    moments = Moments(counts, counts[:, None], counts[:, None, None], ("a", "b", "c", "d"))
    assert together(moments, 2) == [("a", "b"), ("c", "d")]
    pooled = folds(moments, 2)
    assert sorted(pooled.counts) == [6.0, 6.0]
    assert pooled.n == moments.n
    assert folds(moments, 4) is moments
    assert folds(moments, 9) is moments
    swapped = folds(moments.select("d", "c", "b", "a"), 2)
    assert swapped.strata == pooled.strata == ("a + b", "c + d")
    np.testing.assert_array_equal(swapped.sums, pooled.sums)
    assert folds(moments.select("d", "b"), 3).strata == ("b", "d")


def test_one_stratum_cannot_be_held_out():
    with pytest.raises(ValueError, match=r"one stratum.*sample_key.*n_folds"):
        folds(accumulate(np.ones((3, 2))), 5)
