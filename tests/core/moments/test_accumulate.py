"""One pass over the matrix, and the algebra on what it leaves."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from pairwise import pairwise

from pathwayae.core.moments import accumulate as moments
from pathwayae.core.moments.accumulate import accumulate, block_rows
from pathwayae.core.moments.moments import Moments

DTYPES = [np.float64, np.float32, np.int64, np.uint8]
FORMATS = [np.asarray, np.asfortranarray, sp.csr_matrix, sp.csr_array, sp.csc_matrix, sp.csc_array]
POWER = {"unit": 1.0, "pareto": 0.5, None: 0.0}


def counts(n=37, g=11, seed=0):
    """Whole numbers, two thirds of them zero, with one gene that is never seen."""
    rng = np.random.default_rng(seed)
    matrix = rng.poisson(3.0, size=(n, g)) * (rng.random((n, g)) < 0.4)
    matrix[:, 4] = 0
    return matrix


def expression(n=37, g=11, seed=0):
    """Logarithms, so that sums round."""
    return np.log1p(counts(n, g, seed) * 1.7)


def naive(matrix):
    """Sum and XᵀX by loops over genes, each sum rounded once."""
    matrix = np.asarray(matrix, dtype=np.float64)
    g = matrix.shape[1]
    gram = np.array([[math.fsum(matrix[:, i] * matrix[:, j]) for j in range(g)] for i in range(g)])
    return np.array([math.fsum(matrix[:, i]) for i in range(g)]), gram


def small_blocks(monkeypatch, n_genes, rows):
    monkeypatch.setattr(moments, "BLOCK_BYTES", 8 * n_genes * rows)


@pytest.mark.parametrize(
    ("make", "dtype", "rows", "genes"),
    pairwise(make=FORMATS, dtype=DTYPES, rows=[5, 1000], genes=[None, np.array([3, 0, 9, 5]), np.array([10])]),
)
def test_every_format_gives_the_sums_and_products_of_a_naive_loop(monkeypatch, make, dtype, rows, genes):
    matrix = expression().astype(dtype)
    small_blocks(monkeypatch, matrix.shape[1] if genes is None else len(genes), rows)
    result = accumulate(make(matrix), genes=genes)
    chosen = matrix if genes is None else matrix[:, genes]
    total, gram = naive(chosen)
    assert result.n == len(matrix)
    assert result.sum.dtype == result.gram.dtype == np.float64
    np.testing.assert_allclose(result.sum, total, rtol=1e-14)
    np.testing.assert_allclose(result.gram, gram, rtol=1e-14)
    dense = accumulate(chosen.astype(np.float64))
    np.testing.assert_allclose(result.sum, dense.sum, rtol=1e-15)  # to the last digits
    np.testing.assert_allclose(result.gram, dense.gram, rtol=1e-15)


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix, sp.csc_array])
def test_neither_blocks_nor_the_order_of_cells_matter(monkeypatch, make):
    matrix = counts()
    whole = accumulate(make(matrix))
    order = np.random.default_rng(3).permutation(len(matrix))
    for rows in (1, 4, 36, 37, 38):
        small_blocks(monkeypatch, matrix.shape[1], rows)
        for result in (accumulate(make(matrix)), accumulate(make(matrix[order]))):
            np.testing.assert_array_equal(result.sum, whole.sum)  # whole numbers: sums are exact in any order
            np.testing.assert_array_equal(result.gram, whole.gram)


def test_progress_hears_the_cells_of_each_block_of_at_least_one(monkeypatch):
    small_blocks(monkeypatch, 11, 10)
    heard = []
    accumulate(sp.csr_matrix(counts(n=37)), progress=heard.append)
    assert heard == [10, 10, 10, 7]
    monkeypatch.setattr(moments, "BLOCK_BYTES", 800)
    assert [block_rows(g) for g in (0, 1, 10, 50, 100, 101)] == [100, 100, 10, 2, 1, 1]


def test_one_cell_is_enough():
    result = accumulate(np.array([[1.0, 2.0, 0.0]]))
    np.testing.assert_array_equal(result.gram, [[1, 2, 0], [2, 4, 0], [0, 0, 0]])
    np.testing.assert_array_equal(result.variance, np.zeros(3))


@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csr_array, sp.csc_matrix, sp.csc_array])
def test_a_sparse_input_is_not_modified_even_with_unsorted_indices(make):
    matrix = make(expression())
    first = slice(matrix.indptr[0], matrix.indptr[1])
    matrix.indices[first], matrix.data[first] = matrix.indices[first][::-1].copy(), matrix.data[first][::-1].copy()
    matrix.has_sorted_indices = False
    data, indices, indptr, kind = matrix.data.copy(), matrix.indices.copy(), matrix.indptr.copy(), matrix.format
    result = accumulate(matrix)
    np.testing.assert_array_equal(matrix.data, data)
    np.testing.assert_array_equal(matrix.indices, indices)
    np.testing.assert_array_equal(matrix.indptr, indptr)
    assert matrix.format == kind
    np.testing.assert_allclose(result.gram, naive(matrix.toarray())[1], rtol=1e-14)


@pytest.mark.parametrize("make", [np.array, np.asfortranarray])
def test_mean_and_variance_are_those_of_numpy_and_nothing_is_modified(make):
    matrix = make(expression(n=200))
    before = matrix.copy()
    result = accumulate(matrix)
    np.testing.assert_allclose(result.mean, matrix.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(result.variance, matrix.var(axis=0), rtol=1e-12)
    total, gram = result.sum.copy(), result.gram.copy()
    result.standardize(center=True, scale="unit")
    result.standardize(center=False, scale="pareto")
    np.testing.assert_array_equal(result.sum, total)
    np.testing.assert_array_equal(result.gram, gram)
    np.testing.assert_array_equal(matrix, before)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 0.1, 1 / 3, 1e-8, 12345.678, 1e10])
def test_a_constant_gene_has_a_variance_of_exactly_zero(monkeypatch, value):
    small_blocks(monkeypatch, 2, 64)
    for n in (2, 7, 1000):
        variance = accumulate(np.column_stack([np.full(n, value), np.arange(n)])).variance
        assert variance[0] == 0
        assert variance[1] == pytest.approx((n**2 - 1) / 12, rel=1e-12)


def test_a_gene_seen_once_in_many_cells_is_not_taken_for_constant():
    n = 100_000
    matrix = sp.csr_matrix(([2.5], ([17], [0])), shape=(n, 1))
    assert accumulate(matrix).variance[0] == pytest.approx(2.5**2 * (1 / n - 1 / n**2), rel=1e-12)


@pytest.mark.parametrize(("dtype", "spread"), [(np.float64, 0.1), (np.float64, 1.0), (np.float32, 10.0)])
def test_the_variance_stays_accurate_with_a_large_offset_on_every_gene(monkeypatch, dtype, spread):
    small_blocks(monkeypatch, 8, 100)
    matrix = (1e4 + spread * np.random.default_rng(1).normal(size=(2000, 8))).astype(dtype)
    result = accumulate(matrix)
    wide = matrix.astype(np.float64)
    # The mean square is 1e8, in which the last digit of float64 is 1.5e-8, and a few thousand of them are added.
    np.testing.assert_allclose(result.variance, wide.var(axis=0), rtol=0, atol=5e-7)
    centred = result.standardize(center=True, scale=None).gram / result.n
    np.testing.assert_allclose(centred, np.cov(wide.T, bias=True), rtol=0, atol=5e-7)


@pytest.mark.parametrize(
    ("center", "scale"), [(True, "unit"), (True, "pareto"), (True, None), (False, "unit"), (False, None)]
)
def test_standardize_gives_the_gram_of_explicitly_standardised_cells(center, scale):
    matrix = expression(n=90) + np.linspace(0, 5, 11)
    matrix[:, 7] = 0.3  # constant
    matrix[:, 8] = 0.0
    constant = np.ptp(matrix, axis=0) == 0
    mean = matrix.mean(axis=0) if center else np.zeros(11)
    unit = np.where(constant, 1.0, matrix.std(axis=0) ** POWER[scale])
    explicit = (matrix - mean) / unit
    result = accumulate(matrix).standardize(center=center, scale=scale)
    assert result.n == 90
    np.testing.assert_allclose(result.mean, mean, rtol=1e-13)
    np.testing.assert_allclose(result.scale, unit, rtol=1e-12)
    np.testing.assert_allclose(result.gram, naive(explicit)[1], rtol=1e-12, atol=1e-10)
    assert result.total == pytest.approx(np.sum(explicit**2), rel=1e-12)
    if center:
        assert constant.any()
        assert not result.gram[constant].any()
        assert not result.gram[:, constant].any()
    if center and scale == "unit":
        np.testing.assert_allclose(np.diagonal(result.gram), np.where(constant, 0.0, 90.0), rtol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_held_out_cells_in_the_units_of_others_have_the_gram_of_explicitly_standardised_cells(offset):
    fitted, held_out = expression(n=90) + offset, expression(n=50, seed=1) + offset
    units = accumulate(fitted).standardize(center=True, scale="unit")
    result = accumulate(held_out).standardize_with(units.mean, units.scale)
    explicit = (held_out - units.mean) / units.scale
    assert result.n == 50
    # Squares of 1e6 in 50 cells are 5e7, in which the last digit of float64 is 7e-9.
    np.testing.assert_allclose(result.gram, explicit.T @ explicit, rtol=1e-12, atol=1e-11 if offset == 0 else 1e-6)


@pytest.mark.parametrize(
    "genes", [np.array([3, 0, 9, 5]), np.array([], dtype=int), np.arange(11)[::-1], np.arange(11) % 3 == 1]
)
def test_a_subset_has_the_moments_of_its_columns(genes):
    matrix = expression()
    whole, expected = accumulate(matrix), naive(matrix[:, genes])
    result = whole.subset(genes)
    assert isinstance(result, Moments)
    assert result.n == len(matrix)
    np.testing.assert_allclose(result.sum, expected[0], rtol=1e-14)
    np.testing.assert_allclose(result.gram, expected[1].reshape(len(result.sum), len(result.sum)), rtol=1e-14)
    first, last = (read.standardize(center=True, scale="unit") for read in (result, whole))
    np.testing.assert_array_equal(first.gram, last.gram[genes][:, genes])
    np.testing.assert_array_equal(first.scale, last.scale[genes])


def test_too_many_genes_are_refused_before_anything_is_allocated_and_the_limit_itself_is_allowed(monkeypatch):
    with pytest.raises(ValueError, match=r"30000 genes need a Gram matrix of 6\.7 GiB; at most 4 GiB \(23170 genes\)"):
        accumulate(sp.csr_matrix((2, 30_000)))
    monkeypatch.setattr(moments, "MAX_GRAM_BYTES", 8 * 11**2)
    assert accumulate(counts(g=11)).gram.shape == (11, 11)
    assert accumulate(counts(g=12), genes=np.arange(1, 12)).gram.shape == (11, 11)
    with pytest.raises(ValueError, match=r"12 genes need .* \(11 genes\) is allowed"):
        accumulate(counts(g=12))
