"""Passes over a Gram matrix against numpy, by any number of threads."""

import numpy as np
import pytest

from pathwayae.core import threads
from pathwayae.core.moments import gram_passes


@pytest.fixture(params=[1, 2, 5])
def many_threads(request, monkeypatch):
    """Parts are shared however little there is to do."""
    monkeypatch.setattr(threads, "threads", lambda: request.param)
    monkeypatch.setattr(threads, "SMALL", 0)


def symmetric(g, seed=0):
    x = np.random.default_rng(seed).normal(size=(g + 3, g))
    return x.T @ x


@pytest.mark.parametrize("g", [1, 63, 64, 65, 200])
@pytest.mark.usefixtures("many_threads")
def test_some_genes_in_any_order_and_twice(g):
    matrix, rng = symmetric(g), np.random.default_rng(1)
    before = matrix.copy()
    for index in (rng.permutation(g), rng.integers(g, size=g + 5), np.arange(0), np.array([g - 1])):
        found = gram_passes.of_genes(matrix, index)
        np.testing.assert_array_equal(found, matrix[np.ix_(index, index)])
    np.testing.assert_array_equal(matrix, before)


@pytest.mark.parametrize("g", [1, 64, 130])
@pytest.mark.usefixtures("many_threads")
def test_standardised_is_the_gram_matrix_of_standardised_cells(g):
    rng = np.random.default_rng(2)
    x = rng.gamma(2.0, 1.0, size=(50, g))
    products, sums, mean, scale = x.T @ x, x.sum(axis=0), rng.normal(size=g), rng.uniform(0.5, 2.0, size=g)
    before = products.copy()
    for centre in (mean, x.mean(axis=0), np.zeros(g)):
        cells = (x - centre) / scale
        found = gram_passes.standardized(products, sums, centre, scale, 50.0)
        np.testing.assert_allclose(found, cells.T @ cells, rtol=0, atol=1e-11 * np.abs(products).max())
        np.testing.assert_allclose(found, found.T, rtol=0, atol=1e-11 * np.abs(products).max())
    np.testing.assert_array_equal(products, before)


@pytest.mark.parametrize("g", [0, 1, 2, 63, 64, 65, 200])
@pytest.mark.usefixtures("many_threads")
def test_mirror_makes_the_lower_triangle_the_upper_one(g):
    lower = np.tril(np.random.default_rng(3).normal(size=(g, g)))
    matrix = lower + np.triu(np.full((g, g), np.nan), 1)
    gram_passes.mirror(matrix)
    np.testing.assert_array_equal(matrix, lower + np.tril(lower, -1).T)


@pytest.mark.parametrize("g", [1, 64, 130])
@pytest.mark.usefixtures("many_threads")
def test_some_genes_are_standardised_and_centred_within_batches_without_a_matrix_between(g):
    rng = np.random.default_rng(4)
    x, codes = rng.gamma(2.0, 1.0, size=(60, g)), np.arange(60) % 3
    products, sums, scale = x.T @ x, x.sum(axis=0), rng.uniform(0.5, 2.0, size=g)
    counts, means = np.full(3, 20.0), np.stack([x[codes == one].mean(axis=0) for one in range(3)])
    size = np.abs(products).max()
    for index in (rng.permutation(g), np.array([g - 1]), None):
        some = np.arange(g) if index is None else index
        cells = ((x - x.mean(axis=0)) / scale)[:, some]
        found = gram_passes.standardized(products, sums[some], x.mean(axis=0)[some], scale[some], 60.0, index)
        np.testing.assert_allclose(found, cells.T @ cells, rtol=0, atol=1e-11 * size)
        cells = ((x - means[codes]) / scale)[:, some]
        found = gram_passes.without(products, means[:, some], counts, scale[some], index)
        np.testing.assert_allclose(found, cells.T @ cells, rtol=0, atol=1e-11 * size)
