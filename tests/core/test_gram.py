"""The Gram matrix of one block: both kernels, in place, and the choice between them."""

import numpy as np
import pytest
import scipy.sparse as sp

from pathwayae.core import gram
from pathwayae.core.gram import add_gram, mirror, prefers_sparse


def block(n=300, g=120, density=0.02, seed=0):
    matrix = sp.random_array((n, g), density=density, format="csr", rng=np.random.default_rng(seed))
    matrix.data[:] = np.round(matrix.data * 9) + 1  # whole numbers: every order of summation gives the same digits
    return matrix


def product(part, rows):
    result = np.zeros((part.shape[1], part.shape[1]))
    add_gram(result, part, rows=rows)
    add_gram(result, part, rows=rows)
    mirror(result)
    return result


@pytest.mark.parametrize("rows", [1, 7, 119, 120, 1000])
@pytest.mark.parametrize("cost", [0.0, np.inf])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32, np.uint8])
@pytest.mark.parametrize("make", [np.asarray, np.asfortranarray, sp.csr_matrix, sp.csr_array])
def test_both_kernels_add_the_exact_product_in_place(monkeypatch, make, dtype, cost, rows):
    monkeypatch.setattr(gram, "SPARSE_COST", cost)  # 0: the sparse product, infinity: BLAS
    dense = block().toarray()
    np.testing.assert_array_equal(product(make(dense.astype(dtype)), rows), 2 * dense.T @ dense)


def test_small_integers_do_not_overflow():
    dense = np.full((50, 3), 200, dtype=np.uint8)
    assert (product(sp.csr_matrix(dense), 10) == 2 * 50 * 200**2).all()


def test_the_sparse_product_is_taken_where_few_values_are_stored():
    assert prefers_sparse(block(density=0.01))
    assert not prefers_sparse(block(density=0.3))
    assert not prefers_sparse(block(density=0.01).toarray())


def test_one_full_cell_among_empty_ones_counts_for_what_it_costs():
    matrix = sp.lil_matrix((100, 120))
    matrix[0] = 1
    assert not prefers_sparse(matrix.tocsr())  # 120² · 115 is more than 100 · 120²
    assert prefers_sparse(sp.vstack([matrix, sp.csr_matrix((100, 120))]).tocsr())


@pytest.mark.parametrize("g", [1, 3, 1024, 1030, 2050])
def test_mirror_copies_the_lower_triangle_over_the_upper(g):
    lower = np.tril(np.random.default_rng(0).normal(size=(g, g)))
    matrix = lower + np.triu(np.full((g, g), 7.0), 1)
    mirror(matrix)
    np.testing.assert_array_equal(matrix, lower + np.tril(lower, -1).T)


def test_no_cells_add_nothing():
    assert not product(sp.csr_matrix((0, 4)), 3).any()
    assert not product(np.zeros((0, 4)), 3).any()
