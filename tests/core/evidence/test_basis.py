"""Bases and leading eigenvectors against scipy's."""

import numpy as np
import pytest
import scipy.linalg

from pathwayae.core.evidence.basis import krylov, leading, leading_followed, leading_near, orthonormal


@pytest.mark.parametrize(("g", "k", "rank"), [(40, 7, 7), (40, 9, 5), (6, 6, 6), (5, 9, 3)])
def test_it_spans_what_the_columns_span(g, k, rank):
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(g, rank)) @ rng.normal(size=(rank, k)) if rank < k else rng.normal(size=(g, k))
    basis, expected = orthonormal(columns), scipy.linalg.orth(columns)
    assert basis.shape == (g, rank)
    np.testing.assert_allclose(basis.T @ basis, np.eye(rank), atol=1e-13)
    np.testing.assert_allclose(basis @ basis.T, expected @ expected.T, atol=1e-9)


def test_nearly_dependent_columns_stay_orthonormal():
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(100, 20))
    columns[:, 10:] = columns[:, :10] + 1e-6 * columns[:, 10:]
    basis = orthonormal(columns)
    assert basis.shape == (100, 20)
    np.testing.assert_allclose(basis.T @ basis, np.eye(20), atol=1e-12)


def test_nothing_has_no_basis():
    assert orthonormal(np.zeros((4, 0))).shape == (4, 0)
    assert orthonormal(np.zeros((4, 2))).shape == (4, 0)


def symmetric(g, seed=2, decay=0.9, rank=None):
    """A matrix of known eigenvalues, from the largest, and its vectors."""
    vectors = np.linalg.qr(np.random.default_rng(seed).normal(size=(g, g)))[0]
    values = 10.0 * decay ** np.arange(g)
    if rank is not None:
        values[rank:] = 0.0
    return (vectors * values) @ vectors.T, values, vectors


@pytest.mark.parametrize(("g", "m", "depth"), [(60, 3, 1), (60, 3, 4), (60, 5, 8), (12, 5, 8), (4, 4, 3)])
def test_a_krylov_space_spans_the_powers_and_comes_with_its_image(g, m, depth):
    matrix = symmetric(g)[0]
    block = np.linalg.qr(np.random.default_rng(3).normal(size=(g, m)))[0]
    basis, image, inside = krylov(lambda columns: matrix @ columns, block, depth)
    assert basis.shape == (g, min(m * depth, g))
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)
    np.testing.assert_allclose(image, matrix @ basis, atol=1e-12 * np.abs(matrix).max())
    np.testing.assert_allclose(inside, basis.T @ matrix @ basis, atol=1e-12 * np.abs(matrix).max())
    power = block
    for _ in range(depth):
        np.testing.assert_allclose(basis @ (basis.T @ power), power, atol=1e-7)
        power = matrix @ power
        power /= np.linalg.norm(power, axis=0)


def test_a_krylov_space_ends_where_the_operator_leads_no_further():
    matrix = symmetric(40, rank=5)[0]
    block = np.linalg.qr(np.random.default_rng(4).normal(size=(40, 4)))[0]
    basis, image, inside = krylov(lambda columns: matrix @ columns, block, 6)
    assert basis.shape[1] <= 4 + 5
    np.testing.assert_allclose(inside, basis.T @ image, atol=1e-12)
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)
    np.testing.assert_allclose(image, matrix @ basis, atol=1e-12)
    basis, image, inside = krylov(np.zeros_like, block, 6)
    np.testing.assert_array_equal(basis, block)
    assert not image.any()
    assert not inside.any()


def assert_leading(found, values, vectors, n, atol=1e-8):
    np.testing.assert_allclose(found[0], values[:n], rtol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(found[1], axis=0), 1.0, rtol=1e-12)
    np.testing.assert_allclose(np.abs((found[1] * vectors[:, :n]).sum(axis=0)), 1.0, atol=atol)


@pytest.mark.parametrize("n", [1, 6, 20])
@pytest.mark.parametrize("g", [25, 300])
def test_leading_vectors_are_those_of_all_eigenvectors_and_always_the_same(g, n):
    matrix, values, vectors = symmetric(g)
    found, again = (leading(lambda block: matrix @ block, g, n) for _ in range(2))
    assert_leading(found, values, vectors, n)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("n_start", [7, 40])
def test_what_is_known_and_what_is_rough_on_the_way_do_not_matter_in_the_end(n_start):
    matrix, values, vectors = symmetric(300)
    rng = np.random.default_rng(5)
    start = (vectors[:, :n_start] + 0.1 * rng.normal(size=(300, n_start))) * np.sqrt(values[:n_start])
    before, calls = start.copy(), []

    def product(block):
        return matrix @ block

    def rough(block):
        calls.append(block.dtype)
        return matrix.astype(np.float32) @ block

    assert_leading(leading(product, 300, 6, rough=rough), values, vectors, 6)
    for options in ({}, {"rough": rough}):
        found, again = (leading_near(product, start, 6, **options) for _ in range(2))
        assert_leading(found, values, vectors, 6)
        np.testing.assert_array_equal(found[1], again[1])
    assert set(calls) == {np.dtype(np.float32)}
    np.testing.assert_array_equal(start, before)


def test_vectors_near_what_is_known_stay_in_their_space_and_nothing_leads_nowhere():
    matrix, _, vectors = symmetric(300, rank=12)
    inside = np.linalg.qr(vectors[:, 2:9] + vectors[:, 100:107])[0]

    def within(columns):
        return columns - inside @ (inside.T @ columns)

    def product(columns):
        return within(matrix @ within(columns))

    expected = np.linalg.eigh(within(within(matrix).T))[1][:, ::-1]
    for rough in (None, lambda columns: product(columns).astype(np.float32)):
        found = leading_near(product, within(vectors[:, :30] * 3.0), 4, rough=rough, within=within)[1]
        np.testing.assert_allclose(np.abs((found * expected[:, :4]).sum(axis=0)), 1.0, atol=1e-8)
        assert np.abs(inside.T @ found).max() < 1e-9
    for nothing in (np.zeros((300, 0)), np.zeros((300, 20))):
        assert leading_near(product, nothing, 4)[1].shape == (300, 0)


def test_what_low_rank_says_is_followed_through_its_diagonal():
    rng = np.random.default_rng(7)
    factors, own = rng.normal(size=(300, 40)) * 0.9 ** np.arange(40), rng.uniform(0.0, 2.0, 300)
    matrix = factors @ factors.T + np.diag(own)
    before, expected = factors.copy(), np.linalg.eigh(matrix)
    rough = matrix.astype(np.float32).__matmul__
    found, again = (leading_followed(matrix.__matmul__, factors, 6, rough=rough) for _ in range(2))
    assert_leading(found, expected[0][::-1], expected[1][:, ::-1], 6)
    np.testing.assert_array_equal(found[1], again[1])
    np.testing.assert_array_equal(factors, before)
    for nothing in (np.zeros((300, 0)), np.zeros((300, 20))):
        assert leading_followed(matrix.__matmul__, nothing, 4, rough=rough)[1].shape == (300, 0)


def test_a_krylov_space_in_float32_is_that_of_float64_to_its_precision():
    matrix = symmetric(300)[0]
    block = np.linalg.qr(np.random.default_rng(6).normal(size=(300, 6)))[0]
    exact = krylov(lambda columns: matrix @ columns, block, 5)[0]
    rough = matrix.astype(np.float32)
    basis, image, inside = krylov(lambda columns: rough @ columns, block.astype(np.float32), 5)
    assert basis.dtype == image.dtype == inside.dtype == np.float32
    np.testing.assert_allclose(basis.T @ basis, np.eye(30), atol=1e-5)
    np.testing.assert_allclose(image, matrix @ basis, atol=1e-5 * np.abs(matrix).max())
    np.testing.assert_allclose(np.linalg.svd(exact.T @ basis)[1][:12], 1.0, atol=1e-5)


@pytest.mark.parametrize("g", [30, 200])
def test_more_vectors_than_the_rank_are_completed_by_ones_of_nothing(g):
    matrix, values, vectors = symmetric(g, rank=4)
    found, inside = leading(lambda block: matrix @ block, g, 9)
    np.testing.assert_allclose(found, values[:9], atol=1e-10)
    np.testing.assert_allclose(inside.T @ inside, np.eye(9), atol=1e-10)
    np.testing.assert_allclose(inside[:, :4] @ inside[:, :4].T, vectors[:, :4] @ vectors[:, :4].T, atol=1e-9)
    np.testing.assert_allclose(matrix @ inside[:, 4:], 0.0, atol=1e-9)


@pytest.mark.parametrize(("g", "n"), [(1, 1), (3, 2), (3, 3), (8, 8)])
def test_few_rows_give_all_their_vectors(g, n):
    matrix, values, vectors = symmetric(g, decay=0.5)
    assert_leading(leading(lambda block: matrix @ block, g, n), values, vectors, n)


def test_values_below_zero_come_last():
    diagonal = np.r_[-50.0, np.arange(60.0)]
    values, vectors = leading(lambda block: diagonal[:, None] * block, 61, 3)
    np.testing.assert_allclose(values, [59.0, 58.0, 57.0], rtol=1e-9)
    np.testing.assert_array_equal(np.abs(vectors).argmax(axis=0), [60, 59, 58])
