"""Balance, weights and multiplicity against naive loops and what they are for."""

import numpy as np
import pytest
import scipy.sparse as sp
from oracles import balanced
from sklearn.linear_model import Ridge

from pathwayae.core.grouped import encoder as module
from pathwayae.core.grouped.encoder import (
    Encoder,
    balanced_encoder,
    expression_bins,
    jointly,
    multiplicity,
    score_weights,
)

FORMS = [np.asarray, sp.csc_array, sp.csr_array]
every_form = pytest.mark.parametrize("make", FORMS, ids=["dense", "csc", "csr"])
with_and_without_bins = pytest.mark.parametrize("binned", [True, False])


def weights_of(g=30, k=7, seed=10):
    """Few weights: a column of zeros, a row of zeros, and two equal columns."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(g, k)) * (rng.random((g, k)) < 0.3)
    weights[:, 2], weights[4], weights[:, 5] = 0.0, 0.0, weights[:, 1]
    return weights


def encoder_and_matrix(make, *, binned, seed=10):
    """An encoder, and the matrix that it stands for by a naive loop."""
    weights = weights_of(seed=seed)
    g, k = weights.shape
    if not binned:
        return Encoder(make(weights)), weights
    bins, level = np.arange(g) * 7 % 4, np.random.default_rng(seed).normal(size=(4, k))
    return Encoder(make(weights), bins, level), np.array([weights[i] - level[bins[i]] for i in range(g)])


def unsorted(weights, make):
    """Sparse weights whose indices are stored from the last to the first."""
    matrix = make(weights)
    for place in (slice(*matrix.indptr[i : i + 2]) for i in range(len(matrix.indptr) - 1)):
        matrix.indices[place], matrix.data[place] = matrix.indices[place][::-1].copy(), matrix.data[place][::-1].copy()
    matrix.has_sorted_indices = False
    return matrix


def parts_of(encoder):
    weights = encoder.weights
    stored = (weights.data, weights.indices, weights.indptr) if sp.issparse(weights) else (weights,)
    return [part.copy() for part in (*stored, encoder.bins, encoder.level) if part is not None]


def assert_equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@every_form
@with_and_without_bins
def test_an_encoder_does_what_its_matrix_does(make, binned):
    encoder, matrix = encoder_and_matrix(make, binned=binned)
    g, k = matrix.shape
    rng = np.random.default_rng(11)
    assert encoder.shape == (g, k)
    assert encoder.is_sparse == (make is not np.asarray)
    assert_equal(encoder.toarray(), matrix)
    for chosen in (slice(2, 5), np.array([6, 0, 3])):
        assert_equal(encoder.of_components(chosen).toarray(), matrix[:, chosen])
    for genes in (np.array([9, 2, 20]), np.arange(g) % 3 == 0, np.arange(0)):
        assert_equal(encoder.of_genes(genes).toarray(), matrix[genes])
    factors = rng.normal(size=k)
    assert_equal(encoder.scaled(factors).toarray(), matrix * factors)
    assert_equal(encoder.lengths(), [np.sqrt(sum(value**2 for value in column)) for column in matrix.T])
    assert_equal(encoder.power_of_genes(), [sum(value**2 for value in row) for row in matrix])
    for shape in ((), (3,), (0,)):
        components, genes = rng.normal(size=(k, *shape)), rng.normal(size=(g, *shape))
        assert_equal(encoder.times(components), matrix @ components)
        assert_equal(encoder.transposed_times(genes), matrix.T @ genes)
    cells = rng.normal(size=(5, g))
    assert isinstance(cells @ encoder, np.ndarray)
    assert_equal(cells @ encoder, cells @ matrix)


@every_form
@with_and_without_bins
def test_products_of_encoders_are_those_of_their_matrices(make, binned):
    encoder, matrix = encoder_and_matrix(make, binned=binned)
    _, other = encoder_and_matrix(make, binned=binned, seed=12)
    others = [form(weights_of(seed=12)) for form in FORMS]
    level = np.random.default_rng(12).normal(size=(4, 7)) if binned else None
    of_genes = np.random.default_rng(13).uniform(size=len(matrix))
    for weights in others:
        theirs = Encoder(weights, encoder.bins, level).of_components(slice(5))
        assert_equal(encoder.cross(theirs), matrix.T @ other[:, :5])
        assert_equal(encoder.cross(theirs, of_genes), matrix.T @ np.diag(of_genes) @ other[:, :5])
    assert_equal(encoder.overlap(), matrix.T @ matrix)
    assert_equal(encoder.overlap(of_genes), matrix.T @ np.diag(of_genes) @ matrix)
    assert_equal(encoder.outer(), matrix @ matrix.T)


@every_form
@with_and_without_bins
def test_rounded_is_what_float32_holds(make, binned):
    encoder, matrix = encoder_and_matrix(make, binned=binned)
    rounded = encoder.rounded()
    assert rounded.weights.dtype == np.float64
    for part in (rounded.weights, rounded.level):
        if part is not None:
            dense = part.toarray() if sp.issparse(part) else part
            np.testing.assert_array_equal(dense, dense.astype(np.float32))
    np.testing.assert_allclose(rounded.toarray(), matrix, rtol=1e-6, atol=1e-6)


@every_form
def test_a_balanced_encoder_is_the_balance_of_its_weights(make):
    weights, bins = weights_of(), np.arange(30) * 7 % 4
    encoder = balanced_encoder(make(weights), bins)
    assert encoder.is_sparse == (make is not np.asarray)
    assert_equal(encoder.toarray(), balanced(weights, bins))
    # A bin that no gene is in is nothing to divide by.
    assert_equal(balanced_encoder(make(weights), 2 * bins).toarray(), balanced(weights, bins))


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
@every_form
@with_and_without_bins
def test_multiplicity_is_a_sum_over_all_others_in_any_chunks(monkeypatch, make, binned, chunk):
    monkeypatch.setattr(module, "CHUNK", chunk)
    encoder, matrix = encoder_and_matrix(make, binned=binned)
    expected = [sum((matrix[:, j] @ matrix[:, k]) ** 2 for k in range(7)) for j in range(7)]
    np.testing.assert_allclose(multiplicity(encoder), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(multiplicity(matrix), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make", FORMS[1:], ids=["csc", "csr"])
@with_and_without_bins
def test_an_encoder_is_left_as_it_is_by_all_it_does_in_whatever_order_it_is_stored(make, binned):
    plain, matrix = encoder_and_matrix(make, binned=binned)
    encoder = Encoder(unsorted(weights_of(), make), plain.bins, plain.level)
    before = parts_of(encoder)
    g, k = matrix.shape
    assert_equal(encoder.lengths(), np.linalg.norm(matrix, axis=0))
    assert_equal(encoder.power_of_genes(), (matrix**2).sum(axis=1))
    assert_equal(encoder.of_genes(np.arange(g)[::-1]).toarray(), matrix[::-1])
    assert_equal(encoder.of_components(slice(3)).toarray(), matrix[:, :3])
    assert_equal(encoder.scaled(np.full(k, 2.0)).toarray(), 2.0 * matrix)
    assert_equal(encoder.overlap(np.ones(g)), matrix.T @ matrix)
    assert_equal(encoder.times(np.eye(k)), matrix)
    assert_equal(encoder.transposed_times(np.eye(g)), matrix.T)
    np.testing.assert_allclose(encoder.rounded().toarray(), matrix, rtol=1e-6, atol=1e-6)
    multiplicity(encoder)
    if binned:
        balanced_encoder(encoder.weights, encoder.bins)
    for part, own in zip(parts_of(encoder), before, strict=True):
        np.testing.assert_array_equal(part, own)
    assert_equal(encoder.toarray(), matrix)


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


@every_form
@with_and_without_bins
def test_joint_scores_are_ridge_regressions_on_all_encoders(make, binned):
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(30, 6)) * (rng.random((30, 6)) < 0.4)
    weights[:, 5] = weights[:, 1]
    encoder = balanced_encoder(make(weights), np.arange(30) * 7 % 4) if binned else Encoder(make(weights))
    encoder = encoder.scaled(1.0 / encoder.lengths())
    found, columns, cells = jointly(encoder).toarray(), encoder.toarray(), rng.normal(size=(8, 30))
    expected = np.array([Ridge(alpha=1.0, fit_intercept=False).fit(columns, cell).coef_ for cell in cells])
    scale = np.linalg.norm(np.linalg.solve(columns.T @ columns + np.eye(6), columns.T), axis=1)
    np.testing.assert_allclose(cells @ found, expected / scale, atol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), 1.0)
    if binned:
        for group in range(4):
            assert_equal(found[np.arange(30) * 7 % 4 == group].sum(axis=0), np.zeros(6))


def test_an_encoder_of_nothing_stays_nothing_jointly():
    columns = np.eye(5)[:, :3] * [1.0, 0.0, 1.0]
    assert_equal(jointly(Encoder(columns)).toarray(), columns)
