"""The Gram matrix of one block: both kernels, in place, and the choice between them."""

import numpy as np
import pytest
import scipy.sparse as sp
from pairwise import pairwise

from pathwayae.core.moments import gram
from pathwayae.core.moments.gram import add_gram, prefers_sparse
from pathwayae.core.moments.gram_passes import mirror


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


@pytest.mark.parametrize(
    ("make", "dtype", "cost", "rows"),
    pairwise(
        make=[np.asarray, np.asfortranarray, sp.csr_matrix, sp.csr_array],
        dtype=[np.float64, np.float32, np.int32, np.uint8],
        cost=[0.0, np.inf],
        rows=[1, 7, 119, 120, 1000],
    ),
)
def test_both_kernels_add_the_exact_product_in_place(monkeypatch, make, dtype, cost, rows):
    monkeypatch.setattr(gram, "SPARSE_COST", cost)  # 0: the sparse product, infinity: BLAS
    dense = block().toarray()
    np.testing.assert_array_equal(product(make(dense.astype(dtype)), rows), 2 * dense.T @ dense)


def test_the_order_of_stored_values_does_not_matter():
    matrix = block()
    mixed = matrix.copy()
    for row in range(mixed.shape[0]):
        place = slice(*mixed.indptr[row : row + 2])
        mixed.indices[place], mixed.data[place] = mixed.indices[place][::-1].copy(), mixed.data[place][::-1].copy()
    mixed.has_sorted_indices = False
    before = mixed.indices.copy()
    np.testing.assert_array_equal(product(mixed, 7), product(matrix, 7))
    np.testing.assert_array_equal(mixed.indices, before)


def test_threads_change_no_digit(monkeypatch):
    matrix = sp.random_array((500, 300), density=0.05, format="csr", rng=np.random.default_rng(1))
    results = []
    for n in (1, 2, 5):
        monkeypatch.setattr(gram, "threads", lambda n=n: n)
        results.append(product(matrix, 100))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_parts_of_a_sparse_block_add_up(monkeypatch):
    matrix = block(density=0.05)
    monkeypatch.setattr(gram, "SPARSE_COST", 0.0)
    whole = product(matrix, 10)
    monkeypatch.setattr(gram, "STORED", 20)
    np.testing.assert_array_equal(product(matrix, 10), whole)


def test_small_integers_do_not_overflow_and_no_cells_add_nothing():
    dense = np.full((50, 3), 200, dtype=np.uint8)
    assert (product(sp.csr_matrix(dense), 10) == 2 * 50 * 200**2).all()
    assert not product(sp.csr_matrix((0, 4)), 3).any()
    assert not product(np.zeros((0, 4)), 3).any()


def test_the_sparse_product_is_taken_where_few_values_are_stored():
    assert prefers_sparse(block(density=0.01))
    assert not prefers_sparse(block(density=0.3))
    assert not prefers_sparse(block(density=0.01).toarray())
    matrix = sp.lil_matrix((10, 120))
    matrix[0] = 1  # one full cell among empty ones counts for what it costs
    assert not prefers_sparse(matrix.tocsr())  # 16 · 120² is more than 10 · 120²
    assert prefers_sparse(sp.vstack([matrix, sp.csr_matrix((100, 120))]).tocsr())


@pytest.mark.parametrize("g", [1, 1024, 2050])
def test_mirror_copies_the_lower_triangle_over_the_upper(g):
    lower = np.tril(np.random.default_rng(0).normal(size=(g, g)))
    matrix = lower + np.triu(np.full((g, g), 7.0), 1)
    mirror(matrix)
    np.testing.assert_array_equal(matrix, lower + np.tril(lower, -1).T)
