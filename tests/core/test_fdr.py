"""Adjusted p-values against scipy and the definition, tests that were not made left out."""

import numpy as np
from scipy.stats import false_discovery_control

from pathwayae.core.fdr import adjusted


def test_adjusted_pvalues_are_those_of_scipy_and_skip_what_was_not_tested():
    pvalues = np.random.default_rng(7).random(40) ** 3
    holes = np.insert(pvalues, [0, 20], np.nan)
    result = adjusted(holes)
    np.testing.assert_allclose(result[np.isfinite(holes)], false_discovery_control(pvalues), rtol=1e-12)
    assert np.isnan(result[np.isnan(holes)]).all()


def test_it_is_the_smallest_rate_at_which_a_test_is_called():
    pvalues = np.random.default_rng(8).random((5, 6)).round(2) ** 2
    flat = pvalues.ravel()
    calls = [min(min(len(flat) * q / (flat <= q).sum(), 1.0) for q in flat[flat >= p]) for p in flat]
    np.testing.assert_allclose(adjusted(pvalues), np.reshape(calls, pvalues.shape), rtol=1e-12)


def test_nothing_tested_is_nothing_adjusted():
    assert np.isnan(adjusted(np.full((2, 3), np.nan))).all()
    assert adjusted(np.zeros(0)).shape == (0,)
