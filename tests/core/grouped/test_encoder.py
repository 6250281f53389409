"""Balance, weights and multiplicity against naive loops and what they are for."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from pathwayae.core.grouped.encoder import balanced, expression_bins, multiplicity, score_weights


@pytest.mark.parametrize(("g", "n_bins"), [(10, 1), (300, 5), (1500, 25), (6000, 25)])
def test_bins_are_quantiles_of_the_mean_and_as_many_as_the_genes_allow(g, n_bins):
    mean = np.random.default_rng(0).exponential(size=g)
    bins = expression_bins(mean)
    assert len(np.unique(bins)) == n_bins
    assert np.ptp(np.bincount(bins)) <= 1
    assert (np.diff(bins[np.argsort(mean)]) >= 0).all()


def test_balanced_weights_are_less_the_mean_of_their_bin():
    rng = np.random.default_rng(1)
    weights, bins = rng.normal(size=(40, 3)), rng.integers(4, size=40)
    expected = weights.copy()
    for b in range(4):
        for j in range(3):
            expected[bins == b, j] -= weights[bins == b, j].mean()
    np.testing.assert_allclose(balanced(weights, bins), expected, atol=1e-14)


def test_a_level_that_all_genes_of_a_bin_share_leaves_balanced_scores_as_they_are():
    rng = np.random.default_rng(2)
    weights, bins, x = rng.uniform(size=(60, 4)), np.repeat([0, 1, 2], 20), rng.normal(size=(30, 60))
    level = rng.normal(size=(30, 3))[:, bins]
    encoder = balanced(weights, bins)
    np.testing.assert_allclose((x + level) @ encoder, x @ encoder, atol=1e-12)
    assert np.abs((x + level) @ weights - x @ weights).max() > 1.0


@pytest.mark.parametrize("ridge", [1e-3, 0.1, 10.0])
def test_weights_of_least_squares_are_the_ridge_regression_of_each_cell_on_the_loadings(ridge):
    rng = np.random.default_rng(3)
    loadings, x = rng.gamma(1.0, 1.0, size=(15, 4)), rng.normal(size=(50, 15))
    expected = Ridge(alpha=ridge, fit_intercept=False, solver="svd").fit(loadings, x.T).coef_
    np.testing.assert_allclose(x @ score_weights(loadings, "least_squares", ridge), expected, rtol=1e-9, atol=1e-11)
    without = score_weights(loadings, "least_squares", 0.0)
    np.testing.assert_allclose(without, np.linalg.pinv(loadings).T, rtol=1e-10, atol=1e-12)
    for scores, dtype in (("projection", np.float64), ("members", np.float32), ("projection", np.float32)):
        result = score_weights(loadings.astype(dtype), scores, 0.1)
        assert result.dtype == np.float64
        np.testing.assert_array_equal(result, loadings.astype(dtype))


def test_what_m_columns_say_alike_counts_once():
    rng = np.random.default_rng(4)
    one = np.linalg.qr(rng.normal(size=(20, 3)))[0]
    encoder = np.column_stack([one[:, [0, 0, 0, 0]], one[:, 1:]])  # four copies, and two that stand alone
    np.testing.assert_allclose(multiplicity(encoder), [4, 4, 4, 4, 1, 1], atol=1e-12)
    x = rng.normal(size=(5, 20))
    scores = x @ (encoder / np.sqrt(multiplicity(encoder)))
    np.testing.assert_allclose((scores**2).sum(axis=1), ((x @ one) ** 2).sum(axis=1), rtol=1e-12)
