"""Figures of scores from matrices, few cells and sketches, against the scores of the cells themselves."""

import numpy as np
import pytest
import scipy.sparse as sp
from pairwise import pairwise

from pathwayae.core.grouped import variances
from pathwayae.core.grouped.components import scores_of
from pathwayae.core.grouped.encoder import Encoder
from pathwayae.core.moments.gram_product import standardize
from pathwayae.core.moments.low_rank import LowRank

N, G, BINS = 40, 90, 4
MAKE = [np.asarray, sp.csc_array, sp.csr_array]
GRAMS = ["numpy", "cells", "sparse cells", "low rank"]


def data_of(kind, n=N, g=G, seed=0):
    """A Gram matrix, and cells that have it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)) @ rng.normal(size=(6, g)) + 0.5 * rng.normal(size=(n, g))
    if kind == "low rank":
        low = LowRank(rng.uniform(0.5, 2.0, size=g), rng.normal(size=(g, 7)))
        return low, np.vstack([np.diag(np.sqrt(low.own)), low.factors.T])
    x[rng.random((n, g)) < 0.3] = 0.0
    if kind.endswith("cells"):
        operator = standardize(sp.csr_array(x) if kind == "sparse cells" else x, center=True, scale=None).gram
        assert operator.through_kernel == (2 * n < g)
        return operator, x - x.mean(axis=0)
    x = x - x.mean(axis=0)
    return x.T @ x, x


def encoder_of(make, k, *, binned, g=G, seed=1):
    """An encoder with equal columns, a column of zeros and one of few weights, and its matrix."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(g, k)) * (rng.random((g, k)) < 0.2)
    level = rng.normal(size=(BINS, k)) * 0.3 if binned else None
    if k > 4:
        weights[:, 2], weights[:, 4] = 0.0, weights[:, 3]
        if binned:
            level[:, 2], level[:, 4] = 0.0, level[:, 3]
    bins = np.arange(g) % BINS if binned else None
    return Encoder(make(weights), bins, level), weights - level[bins] if binned else weights


def explained(x, scores):
    """Share of the squares of x along the span of the scores, by an SVD."""
    length = np.linalg.norm(scores, axis=0)
    left, singular, _ = np.linalg.svd(scores / np.where(length > 0, length, 1.0), full_matrices=False)
    basis = left[:, singular**2 > 1e-9 * singular.max() ** 2]
    return ((basis.T @ x) ** 2).sum() / (x**2).sum()


def assert_figures(found, x, matrix, others):
    z = x @ matrix
    size = (z**2).sum(axis=0).max()
    np.testing.assert_allclose(found.power, (z**2).sum(axis=0), rtol=1e-9, atol=1e-10 * size)
    back = ((x.T @ z) ** 2).sum(axis=0)
    np.testing.assert_allclose(found.explained, back, rtol=1e-9, atol=1e-10 * back.max())
    assert found.crossed.shape == (len(others), matrix.shape[1])
    for row, other in zip(found.crossed, others, strict=True):
        m = other.shape[1]
        np.testing.assert_allclose(row[:m], (z[:, :m] * (x @ other)).sum(axis=0), rtol=0, atol=1e-9 * size)
        np.testing.assert_array_equal(row[m:], 0.0)


@pytest.mark.parametrize(
    ("kind", "make", "binned", "k", "chunk"),
    pairwise(kind=GRAMS, make=MAKE, binned=[True, False], k=[1, 9, N + 3, G + 7], chunk=[1, 4, 1000]),
)
def test_figures_are_those_of_the_scores_of_the_cells(monkeypatch, kind, make, binned, k, chunk):
    monkeypatch.setattr(variances, "CHUNK", chunk)
    gram, x = data_of(kind)
    encoder, matrix = encoder_of(make, k, binned=binned)
    others = [encoder_of(make, m, binned=binned, seed=2 + m) for m in {1, max(1, k - 2), k}]
    given = [other for other, _ in others]
    found = variances.figures(gram, encoder, *given)
    together, share = variances.figures_together(gram, encoder, *given)
    for each in (found, together):
        assert_figures(each, x, matrix, [other for _, other in others])
    total, z = (x**2).sum(), x @ matrix
    length = (z**2).sum(axis=0)
    alone = [((x.T @ z[:, j]) ** 2).sum() / length[j] / total if length[j] > 1e-9 else 0.0 for j in range(k)]
    np.testing.assert_allclose(variances.variance_ratio(gram, encoder), alone, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(variances.powers(gram, encoder), length, rtol=1e-9, atol=1e-10 * length.max())
    np.testing.assert_allclose(found.variance_ratio(total), alone, rtol=1e-8, atol=1e-12)
    expected = explained(x, z)
    assert share == pytest.approx(expected, rel=1e-6)
    assert variances.variance_ratio_together(gram, encoder) == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(encoder.toarray(), matrix, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("kind", "make", "binned"), pairwise(kind=GRAMS, make=[np.asarray, sp.csc_array], binned=[True, False])
)
@pytest.mark.parametrize("few", [0, 512])
def test_many_scores_are_told_apart_as_few_are(monkeypatch, kind, make, binned, few):
    monkeypatch.setattr(variances, "FEW", few)  # of 0: all by the factor of Cholesky, with copies among them
    gram, x = data_of(kind)
    for k in (12, N - 3, N + 20, G - 20, G + 15):
        encoder, matrix = encoder_of(make, k, binned=binned)
        found = variances.variance_ratio_together(gram, encoder)
        assert found == pytest.approx(explained(x, x @ matrix), rel=1e-5), k
        assert variances.figures_together(gram, encoder)[1] == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize("make", MAKE)
@pytest.mark.parametrize("binned", [True, False])
def test_more_scores_than_genes_leave_what_lies_beside_all_of_them(make, binned):
    gram, x = data_of("numpy", n=3 * G)
    encoder, matrix = encoder_of(make, G + 20, binned=False)
    dense = encoder.toarray()
    dense[:11] = 0.0  # genes of no set
    bins = np.arange(G) % BINS
    level = np.array([dense[bins == b].mean(axis=0) for b in range(BINS)]) if binned else None
    encoder = Encoder(make(dense), bins if binned else None, level)
    matrix = dense - level[bins] if binned else dense
    expected = explained(x, x @ matrix)
    assert 0.5 < expected < 0.99
    assert variances.variance_ratio_together(gram, encoder) == pytest.approx(expected, rel=1e-7)
    every = Encoder(make(np.eye(G, G + 20)))
    assert variances.variance_ratio_together(gram, every) == pytest.approx(1.0, rel=1e-12)
    nothing = Encoder(make(np.zeros((G, G + 20))))
    assert variances.variance_ratio_together(gram, nothing) == 0.0


def test_more_than_the_few_are_those_of_the_pseudo_inverse():
    rng = np.random.default_rng(5)
    g, k = 700, variances.FEW + 40
    x = rng.normal(size=(900, 30)) @ rng.normal(size=(30, g)) + rng.normal(size=(900, g))
    weights = np.where(rng.random((g, k)) < 0.05, rng.uniform(0.4, 1.4, size=(g, k)), 0.0)
    weights[:, -30:] = weights[:, :30]  # twice
    gram = x.T @ x
    inner, outer = weights.T @ gram @ weights, weights.T @ gram @ gram @ weights
    unit = 1.0 / np.sqrt(np.diagonal(inner))
    inverse = np.linalg.pinv(inner * unit * unit[:, None], rcond=1e-10, hermitian=True)
    expected = np.sum(inverse * (outer * unit * unit[:, None])) / np.trace(gram)
    for make in (np.asarray, sp.csc_array):
        found = variances.variance_ratio_together(gram, Encoder(make(weights)))
        assert found == pytest.approx(expected, rel=1e-5)  # rounding over the ridge


@pytest.mark.parametrize(("kind", "make"), pairwise(kind=GRAMS, make=MAKE))
def test_products_and_scores_of_an_encoder_are_those_of_its_matrix(kind, make):
    gram, x = data_of(kind)
    for binned in (True, False):
        encoder, matrix = encoder_of(make, 8, binned=binned)
        found = variances.times(gram, encoder)
        np.testing.assert_allclose(found, x.T @ (x @ matrix), rtol=0, atol=1e-9 * np.abs(found).max())
        if kind.endswith("cells"):
            np.testing.assert_allclose(scores_of(gram, encoder), x @ matrix, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("kind", "make", "binned"), pairwise(kind=GRAMS, make=[np.asarray, sp.csc_array], binned=[True, False])
)
def test_agreement_and_shares_are_those_of_the_scores_of_the_cells(kind, make, binned):
    gram, x = data_of(kind)
    encoder, matrix = encoder_of(make, 9, binned=binned)
    parts = [encoder_of(make, m, binned=binned, seed=m) for m in (6, 9)]
    found = variances.figures(gram, encoder, *(part for part, _ in parts))
    plain = variances.figures(gram, parts[0][0]).power
    z, other, whole = x @ matrix, x @ parts[0][1], x @ parts[1][1]
    with np.errstate(invalid="ignore"):
        expected = (z[:, :6] * other).sum(axis=0) / np.sqrt((z[:, :6] ** 2).sum(axis=0) * (other**2).sum(axis=0))
    agreed = variances.agreement(found, plain)
    assert agreed.shape == (6,)
    assert np.flatnonzero(np.isnan(agreed)).tolist() == [2]
    np.testing.assert_allclose(agreed, np.where(np.arange(6) == 2, np.nan, expected), rtol=1e-8)
    shares = variances.share_of_part(found, 1)
    for j in range(9):
        length = (z[:, j] ** 2).sum()
        expected = (z[:, j] * whole[:, j]).sum() / length if j != 2 else 0.0
        assert shares[j] == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("kind", GRAMS)
def test_no_scores_have_no_figures(kind):
    gram, _ = data_of(kind)
    for encoder in (Encoder(np.zeros((G, 0))), Encoder(sp.csc_array((G, 0)))):
        found, share = variances.figures_together(gram, encoder)
        assert found.power.shape == found.explained.shape == (0,)
        assert share == 0
        silent = Encoder(np.zeros((G, 2)) if not encoder.is_sparse else sp.csc_array((G, 2)))
        assert variances.variance_ratio_together(gram, silent) == 0
        np.testing.assert_array_equal(variances.variance_ratio(gram, silent), 0.0)
