"""Squeezed variances against limma's formulas, written out one number at a time."""

import math

import numpy as np
import pytest
from scipy.special import digamma, polygamma
from scipy.stats import t

from pathwayae.core.contrasts.moderation import Prior, fit_prior, independent, squeeze, trigamma_inverse


def by_limma(variances, df):
    """``fitFDist`` and ``squeezeVar`` of limma as they stand in R, in loops."""
    middle = float(np.median(variances))
    x = [max(v, 1e-5 * middle) for v in variances]
    e = [math.log(v) - digamma(df / 2) + math.log(df / 2) for v in x]
    emean = sum(e) / len(e)
    evar = sum((one - emean) ** 2 for one in e) / (len(e) - 1) - polygamma(1, df / 2)
    if evar <= 0:
        return math.inf, math.exp(emean)
    low, high = 1e-8, 1e8  # trigamma falls: bisection instead of Newton
    for _ in range(300):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if polygamma(1, middle) > evar else (low, middle)
    df0 = 2 * middle
    return df0, math.exp(emean + digamma(df0 / 2) - math.log(df0 / 2))


@pytest.mark.parametrize("df0", [3.0, 20.0])
@pytest.mark.parametrize("df", [2.0, 7.0])
def test_the_prior_is_that_of_limma(df, df0):
    rng = np.random.default_rng(int(10 * df + df0))
    true = 0.3 * df0 / rng.chisquare(df0, size=400)
    variances = true * rng.chisquare(df, size=400) / df
    prior = fit_prior(variances, df, np.inf)
    expected = by_limma(variances, df)
    np.testing.assert_allclose(prior, expected, rtol=1e-6)
    assert 0.5 * df0 < prior.df < 2.5 * df0
    assert prior.variance == pytest.approx(0.3, rel=0.2)


def test_squeezed_variances_lie_between_their_own_and_the_common_one():
    variances, df = np.array([0.1, 1.0, 4.0]), 4.0
    found, degrees = squeeze(variances, df, Prior(8.0, 1.0), 30.0)
    np.testing.assert_allclose(found, [(4 * v + 8 * 1.0) / 12 for v in variances])
    assert degrees == 12.0


def test_equal_variances_are_pooled_and_degrees_of_freedom_end_at_what_they_have_together():
    variances = np.ones(10)
    prior = fit_prior(variances, 5.0, np.inf)
    assert prior.df == np.inf
    assert squeeze(variances, 5.0, prior, 23.0)[1] == 23.0
    assert squeeze(variances, 5.0, Prior(100.0, 1.0), 23.0)[1] == 23.0


@pytest.mark.parametrize("variances", [np.array([1.0]), np.array([1.0, 9.0]), np.zeros(5)])
def test_few_variances_are_left_alone(variances):
    found, df = squeeze(variances, 3.0, fit_prior(variances, 3.0, 3.0), 3.0 * len(variances))
    np.testing.assert_array_equal(found, variances)
    assert df == 3.0


def test_what_is_added_for_few_variances_is_the_standard_error_of_their_spread():
    df, n = 4.0, 30
    logs = np.log(np.random.default_rng(1).chisquare(df, size=(20_000, n)))
    expected = np.var(logs, axis=1, ddof=1).std()
    equal = fit_prior(np.ones(n), df, float(n))  # no spread at all: the added one stands beside -trigamma(d/2)
    assert np.isinf(equal.df) == (expected <= polygamma(1, df / 2))
    spread = np.exp(np.linspace(-1.4, 1.4, n))
    told = polygamma(1, fit_prior(spread, df, float(n)).df / 2) - polygamma(1, fit_prior(spread, df, np.inf).df / 2)
    larger = np.var(np.log(spread), ddof=1) / polygamma(1, df / 2)
    assert told == pytest.approx(expected * larger, rel=0.05)


def test_few_pathways_of_four_samples_are_called_no_oftener_than_told():
    """By limma's own prior 12 pathways whose variances happen to agree are called several times as often at 1e-3."""
    rng, df, k, draws = np.random.default_rng(5), 3.0, 12, 1_500
    calls = {np.inf: 0, 12.0: 0}
    for _ in range(draws):
        y = rng.normal(size=(4, k)) * np.sqrt(4 / rng.chisquare(4, k))
        variances = y.var(axis=0, ddof=1)
        for n in calls:
            squeezed, degrees = squeeze(variances, df, fit_prior(variances, df, n), df * k)
            p = 2 * t.sf(np.abs(y.mean(axis=0)) / np.sqrt(squeezed / 4), degrees)
            calls[n] += int((p < 1e-3).sum())
    expected = draws * k * 1e-3
    assert calls[12.0] < 1.8 * expected
    assert calls[np.inf] > 2.5 * expected


@pytest.mark.parametrize("x", [1e-4, 0.1, 0.5, 3.0, 1e3, 1e7])
def test_trigamma_is_inverted(x):
    assert trigamma_inverse(float(polygamma(1, x))) == pytest.approx(x, rel=1e-6)


def test_independent_residuals_count_for_themselves_and_copies_for_one():
    rng = np.random.default_rng(0)
    residuals = rng.normal(size=(40, 30))
    assert 26 < independent(residuals, 40.0) <= 30
    copies = np.repeat(rng.normal(size=(40, 3)), 10, axis=1)
    assert independent(copies, 40.0) == pytest.approx(3.0, rel=0.15)
    assert independent(np.repeat(residuals[:, :1], 30, axis=1), 40.0) == pytest.approx(1.0)
    assert independent(residuals[:2], 1.0) == 1.0


def test_the_number_of_independent_ones_by_a_loop():
    rng = np.random.default_rng(3)
    residuals, df = rng.normal(size=(8, 5)) + rng.normal(size=(8, 1)), 8.0
    off = 0.0
    for j in range(5):
        for i in range(5):
            if i != j:
                a, b = residuals[:, i], residuals[:, j]
                off += ((a @ b) ** 2 / (a @ a) / (b @ b) - 1 / df) / (1 - 1 / df)
    assert independent(residuals, df) == pytest.approx(25 / (5 + off))
