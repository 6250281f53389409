"""Products of sparse cells with dense and sparse weights against numpy."""

import numpy as np
import pytest
import scipy.sparse as sp
from pairwise import pairwise

from pathwayae.core import threads
from pathwayae.core.moments.cells_times import cells_times


def cells_of(n=37, g=20, seed=0):
    rng = np.random.default_rng(seed)
    cells = rng.poisson(2.0, size=(n, g)) * (rng.random((n, g)) < 0.4)
    cells[3] = 0
    return cells


def weights_of(g=20, k=6, seed=1):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(g, k)) * (rng.random((g, k)) < 0.3)
    weights[:, 2] = 0.0
    return weights


def stored(matrix):
    return [getattr(matrix, name).copy() for name in ("data", "indices", "indptr")] if sp.issparse(matrix) else [matrix]


@pytest.mark.parametrize(
    ("make", "weigh", "dtype", "n_threads"),
    pairwise(
        make=[sp.csr_array, sp.csr_matrix],
        weigh=[np.asarray, np.asfortranarray, sp.csr_array, sp.csr_matrix],
        dtype=[np.float64, np.float32, np.int64, np.uint8],
        n_threads=[1, 2, 5],
    ),
)
def test_cells_times_weights_is_their_product(monkeypatch, make, weigh, dtype, n_threads):
    monkeypatch.setattr(threads, "threads", lambda: n_threads)
    monkeypatch.setattr(threads, "SMALL", 0)
    dense, weights = cells_of(), weights_of()
    cells, given = make(dense.astype(dtype)), weigh(weights)
    before = stored(cells), stored(given)
    found = cells_times(cells, given)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, dense @ weights, rtol=0, atol=1e-12)
    for parts, own in zip((stored(cells), stored(given)), before, strict=True):
        for part, value in zip(parts, own, strict=True):
            np.testing.assert_array_equal(part, value)


@pytest.mark.parametrize("weigh", [np.asarray, sp.csr_array])
def test_threads_change_no_digit(monkeypatch, weigh):
    monkeypatch.setattr(threads, "SMALL", 0)
    cells, weights, found = sp.csr_array(cells_of() * 0.1), weigh(weights_of()), []
    for n in (1, 2, 5):
        monkeypatch.setattr(threads, "threads", lambda n=n: n)
        found.append(cells_times(cells, weights))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("weigh", [np.asarray, sp.csr_array])
def test_values_in_any_order_and_in_parts_add_up(weigh):
    cells = sp.csr_array((np.ones(5), np.array([4, 0, 4, 2, 2]), np.array([0, 3, 3, 5])), shape=(3, 5))
    weights = np.arange(10.0).reshape(5, 2)
    np.testing.assert_array_equal(cells_times(cells, weigh(weights)), cells.toarray() @ weights)


@pytest.mark.parametrize("shape", [(0, 4, 3), (3, 4, 0), (3, 0, 2)])
def test_nothing_times_anything_is_nothing(shape):
    n, g, k = shape
    for weights in (np.zeros((g, k)), sp.csr_array((g, k))):
        found = cells_times(sp.csr_array((n, g)), weights)
        assert found.shape == (n, k)
        assert not found.any()


def test_columns_of_a_slice_count_alone():
    weights = weights_of()
    for some in (weights[:, ::2], weights[:, 1:4]):
        np.testing.assert_allclose(cells_times(sp.csr_array(cells_of()), some), cells_of() @ some, rtol=0, atol=1e-12)
