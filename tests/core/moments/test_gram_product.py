"""The Gram matrix through the cells against the cells standardised by numpy, and fits through either."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from pairwise import pairwise

from pathwayae.core.grouped import components, variances
from pathwayae.core.grouped import fit as grouped
from pathwayae.core.moments import accumulate as moments
from pathwayae.core.moments import gram_product
from pathwayae.core.moments.gram_product import CellsGram, prefer_cells, standardize, standardize_with
from pathwayae.core.moments.low_rank import LowRank

N, G, K = 23, 60, 4
WAYS = ["dense", "dense in blocks", "sparse", "sparse made dense", "sparse, too large"]


def cells(n=N, g=G, seed=0, offset=0.0, density=0.4):
    rng = np.random.default_rng(seed)
    return (rng.gamma(1.0, 1.0, size=(n, g)) + offset) * (rng.random((n, g)) < density)


def explicit(x, mean, scale):
    return (x - mean) / scale


def take(way, x, monkeypatch):
    """The matrix as given, with the limits set so that the products go this way."""
    monkeypatch.setattr(gram_product, "SPARSE_SHARE", 1.0 if way == "sparse" else 0.0)
    if way in ("dense in blocks", "sparse, too large"):
        monkeypatch.setattr(moments, "MAX_GRAM_BYTES", 0)
        monkeypatch.setattr(moments, "BLOCK_BYTES", 8 * x.shape[1] * 7)
    return x if way.startswith("dense") else sp.csr_matrix(x)


@pytest.mark.parametrize(
    ("way", "genes", "shape"), pairwise(way=WAYS, genes=[None, np.array([7, 0, 59, 11])], shape=[(), (3,), (1,)])
)
def test_the_operator_is_the_gram_matrix_of_the_standardised_cells(monkeypatch, way, genes, shape):
    x = cells()
    chosen = x if genes is None else x[:, genes]
    rng = np.random.default_rng(1)
    mean, scale = rng.normal(size=chosen.shape[1]), rng.uniform(0.5, 2, size=chosen.shape[1])
    operator = CellsGram(take(way, x, monkeypatch), mean, scale, genes)
    expected = explicit(chosen, mean, scale).T @ explicit(chosen, mean, scale)
    v = rng.normal(size=(len(mean), *shape))
    assert operator.shape == expected.shape
    np.testing.assert_allclose(operator @ v, expected @ v, rtol=1e-11, atol=1e-11 * np.abs(expected).max())
    np.testing.assert_allclose(operator.diagonal(), expected.diagonal(), rtol=1e-12)
    assert operator.trace() == pytest.approx(expected.trace(), rel=1e-12)


@pytest.mark.parametrize(("way", "batch", "offset"), pairwise(way=WAYS, batch=[(), (2, 3)], offset=[0.0, 100.0]))
def test_float32_products_are_those_of_the_float64_gram_matrix_wherever_the_means_are(monkeypatch, way, batch, offset):
    x = cells(offset=offset, density=1.0 if offset else 0.4)
    by_moments = moments.accumulate(x).standardize(center=True, scale="unit")
    data = standardize(take(way, x, monkeypatch), center=True, scale="unit")
    w = torch.rand(*batch, G, K, generator=torch.Generator().manual_seed(0))
    result = gram_product.relative_product(data, "cpu")(w)
    through = explicit(x, x.mean(axis=0), x.std(axis=0))
    expected = torch.tensor(through.T @ through / np.sum(through**2)) @ w.double()
    assert (result.dtype, result.shape) == (torch.float32, w.shape)
    # Where all means are large, X W − 1 μᵀW would cancel in float32.
    assert float((result - expected).norm() / expected.norm()) < 1e-5
    with_moments = gram_product.relative_product(by_moments, "cpu")(w)
    assert float((with_moments - expected).norm() / expected.norm()) < 1e-5


@pytest.mark.parametrize(
    ("way", "center", "scale"), pairwise(way=WAYS, center=[True, False], scale=["unit", "pareto", None])
)
def test_cells_are_standardised_as_their_moments_are(monkeypatch, way, center, scale):
    x = cells(offset=1.0)
    x[:, 3], x[:, 5] = 0.1, 0.0  # constant
    expected = moments.accumulate(x).standardize(center=center, scale=scale)
    data = standardize(take(way, x, monkeypatch), center=center, scale=scale)
    assert data.n == expected.n
    np.testing.assert_allclose(data.mean, expected.mean, rtol=1e-13)
    np.testing.assert_allclose(data.scale, expected.scale, rtol=1e-12)
    np.testing.assert_allclose(data.gram @ np.eye(G), expected.gram, rtol=0, atol=1e-12 * expected.total)
    assert data.total == pytest.approx(expected.total, rel=1e-12)
    if center:
        assert not (data.gram @ np.eye(G))[[3, 5]].any()
    monkeypatch.undo()
    other = cells(n=9, seed=2)
    by_moments = moments.accumulate(other).standardize_with(expected.mean, expected.scale)
    held_out = standardize_with(take(way, other, monkeypatch), data.mean, data.scale)
    np.testing.assert_allclose(held_out.gram @ np.eye(G), by_moments.gram, rtol=0, atol=1e-12 * by_moments.total)
    assert held_out.total == pytest.approx(by_moments.total, rel=1e-12)


@pytest.mark.parametrize(
    ("make", "offset"), [(np.asarray, 1e6), (sp.csr_matrix, 0.0), (sp.csr_matrix, 1e6), (sp.csc_array, 0.0)]
)
def test_mean_and_variance_are_those_of_numpy_and_a_constant_gene_has_none(make, offset):
    x = cells(offset=offset)
    x[:, 3], x[:, 5], x[:, 7] = 0.1, 0.0, 1e9
    genes = np.array([40, 3, 5, 7, 1])
    mean, variance = gram_product.mean_and_variance(make(x), genes)
    np.testing.assert_allclose(mean, x[:, genes].mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(variance[[0, 4]], x[:, genes[[0, 4]]].var(axis=0), rtol=1e-12)
    assert not variance[1:4].any()


def test_the_matrix_is_not_modified_and_may_hold_duplicates():
    x = sp.csr_matrix((np.ones(4), np.array([2, 0, 2, 1]), np.array([0, 3, 4])), shape=(2, 3))
    before = x.copy()
    data = standardize(x, center=True, scale=None)
    dense = before.toarray() - before.toarray().mean(axis=0)
    np.testing.assert_allclose(data.gram @ np.eye(3), dense.T @ dense, rtol=0, atol=1e-15)
    assert data.total == pytest.approx(np.sum(dense**2))
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(x, name), getattr(before, name))


@pytest.mark.parametrize("genes", [None, np.array([5, 1, 40])], ids=["all genes", "some genes"])
def test_a_matrix_that_needs_no_change_is_shared_and_not_modified(monkeypatch, genes):
    x = take("sparse", cells(), monkeypatch)
    before = x.copy()
    data = standardize(x, center=True, scale="unit", genes=genes)
    dense = before.toarray() if genes is None else before.toarray()[:, genes]
    expected = explicit(dense, dense.mean(axis=0), dense.std(axis=0))
    np.testing.assert_allclose(data.gram @ np.eye(dense.shape[1]), expected.T @ expected, rtol=0, atol=1e-11)
    if genes is None:
        assert np.shares_memory(data.gram.cells.data, x.data)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(x, name), getattr(before, name))


def test_the_parts_of_a_sparse_product_are_held_once_for_all_products(monkeypatch):
    made = []
    original = gram_product._torch_csr
    monkeypatch.setattr(gram_product, "_torch_csr", lambda matrix: made.append(matrix.nnz) or original(matrix))
    x = take("sparse", cells(), monkeypatch)
    data = standardize(x, center=True, scale="unit")
    half = data.gram.product(torch.float64, "cpu", 2.0)
    w = torch.ones(G, 1, dtype=torch.float64)
    np.testing.assert_allclose(2 * half(w).numpy(), data.gram @ w.numpy(), rtol=1e-12)
    assert made == [x.nnz] * 2


def test_the_cells_are_preferred_where_they_cost_less_or_the_gram_matrix_does_not_fit():
    for n, g, solver, expected in (
        (49, 99, "auto", True),
        (50, 100, "auto", False),
        (10**6, 2_000, "auto", False),
        (10**6, 30_000, "auto", True),  # 6.7 GiB
        (49, 99, "gram", False),
        (10**6, 30_000, "gram", False),
        (10**6, 10, "cells", True),
    ):
        assert prefer_cells(n, g, solver) is expected
    x = cells()  # counted are the operations of the way taken
    by_moments = moments.accumulate(x).standardize(center=True, scale=None)
    assert gram_product.operations(by_moments) == 2 * G * G
    assert gram_product.operations(standardize(x, center=True, scale=None)) == 4 * N * G


# Between cells.


@pytest.mark.parametrize(
    ("make", "genes", "infinite"),
    pairwise(
        make=[np.asarray, sp.csr_matrix, sp.csr_array, sp.csc_array],
        genes=[None, np.array([7, 0, 59, 11, 30])],
        infinite=[False, True],
    ),
)
def test_products_of_the_cells_are_those_of_the_standardised_cells(make, genes, infinite):
    x, rng = cells(), np.random.default_rng(3)
    chosen = x if genes is None else x[:, genes]
    g = chosen.shape[1]
    mean, scale = rng.normal(size=g), rng.uniform(0.5, 2, size=g)
    if infinite:
        scale[2] = np.inf
    given = make(x)
    operator, standard = CellsGram(given, mean, scale, genes), explicit(chosen, mean, scale)
    np.testing.assert_allclose(operator.kernel, standard @ standard.T, rtol=0, atol=1e-11 * np.abs(standard).max() ** 2)
    assert operator.kernel is operator.kernel  # made once
    few = rng.normal(size=(g, 4)) * (rng.random((g, 4)) < 0.3)
    for values in (few, sp.csr_array(few), sp.csc_array(few)):
        np.testing.assert_allclose(operator.left(values), standard @ few, rtol=0, atol=1e-11)
    of_cells = rng.normal(size=(N, 3))
    np.testing.assert_allclose(operator.right(of_cells), standard.T @ of_cells, rtol=0, atol=1e-11)
    unit = rng.uniform(0.0, 2.0, size=g)
    unit[1] = 0.0
    scaled, expected = operator.rescaled(unit), standard * unit
    assert scaled.shape == operator.shape
    np.testing.assert_allclose(scaled.kernel, expected @ expected.T, rtol=0, atol=1e-10)
    np.testing.assert_allclose(scaled @ np.eye(g), expected.T @ expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(scaled.diagonal(), (expected**2).sum(axis=0), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(operator @ np.eye(g), standard.T @ standard, rtol=0, atol=1e-10)  # as before
    np.testing.assert_array_equal(given.toarray() if sp.issparse(given) else given, x)


def test_the_cells_are_the_smaller_matrix_where_they_are_few_and_fit(monkeypatch):
    for n, expected in ((29, True), (30, False)):
        assert standardize(cells(n=n), center=True, scale=None).gram.through_kernel is expected
    monkeypatch.setattr(gram_product, "KERNEL_BYTES", 8 * 29 * 29 - 1)
    assert not standardize(cells(n=29), center=True, scale=None).gram.through_kernel


@pytest.mark.parametrize("kind", ["numpy", "cells", "low rank"])
def test_fast_products_are_products_to_the_precision_of_float32(kind):
    x, v = cells(offset=3.0), np.random.default_rng(4).normal(size=(G, 5))
    data = standardize(x, center=True, scale="unit")
    gram = {
        "numpy": lambda: data.gram @ np.eye(G),
        "cells": lambda: data.gram,
        "low rank": lambda: LowRank(np.ones(G), v),
    }[kind]()
    exact = gram @ v
    found = gram_product.fast_product(gram)(v.astype(np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-5 * np.abs(exact).max())
    np.testing.assert_array_equal(gram_product.fast_product(np.zeros((G, G)))(v.astype(np.float32)), 0.0)


# Fits.


def problem(seed=0):
    """Cells with planted programs, fewer than half as many as genes, and which gene belongs to which."""
    rng = np.random.default_rng(seed)
    membership = rng.random((G, 3)) < 0.3
    x = rng.gamma(0.5, 1.0, size=(N, 3)) @ (membership * rng.gamma(2.0, 1.0, size=(G, 3))).T
    return x + rng.gamma(1.0, 0.3, size=(N, G)) * (rng.random((N, G)) < 0.5), membership


@pytest.mark.parametrize(
    ("way", "scores", "zero_norm"),
    pairwise(way=WAYS, scores=["projection", "least_squares"], zero_norm=["component", "feature"]),
)
def test_200_steps_through_the_cells_are_200_steps_on_the_gram_matrix(monkeypatch, way, scores, zero_norm):
    x, membership = problem()
    config = grouped.Config(
        theta=0.3,
        epsilon=0.1,
        l1_ratio=0.5,
        learning_rate=0.02,
        max_iter=200,
        scores=scores,
        zero_norm=zero_norm,
        min_delta=0.0,
        scheduler_patience=1000,
    )
    data = moments.accumulate(x).standardize(center=True, scale="unit")
    held_out = moments.accumulate(x[:9]).standardize_with(data.mean, data.scale)
    expected = grouped.fit(data, membership, np.ones(G, bool), 5, config, validation=held_out)
    given = take(way, x, monkeypatch)
    result = grouped.fit(
        standardize(given, center=True, scale="unit"),
        membership,
        np.ones(G, bool),
        5,
        config,
        validation=standardize_with(given[:9], data.mean, data.scale),
    )
    assert expected.history["loss"][-1] < 0.95 * expected.history["loss"][0]
    for name, values in expected.history.items():
        assert len(result.history[name]) == 200
        np.testing.assert_allclose(result.history[name], values, rtol=1e-5, err_msg=name)  # float32
    assert np.linalg.norm(result.loadings - expected.loadings) < 1e-4 * np.linalg.norm(expected.loadings)


@pytest.mark.parametrize("way", WAYS)
def test_what_follows_a_fit_is_the_same_through_the_cells(monkeypatch, way):
    x, membership = problem()
    x = np.tile(x, (1, 5)) * np.random.default_rng(1).uniform(0.5, 1.5, size=(N, 5 * G))  # more genes than eigh takes
    membership = np.tile(membership, (5, 1))
    gram = moments.accumulate(x).standardize(center=True, scale="unit").gram
    operator = standardize(take(way, x, monkeypatch), center=True, scale="unit").gram
    start, same = (
        grouped.start(membership, 4, each, scores="projection", rng=np.random.default_rng(0))
        for each in (gram, operator)
    )
    # Free columns come from eigenvectors, which either way finds to 1e-8, and the scale of all from all columns.
    np.testing.assert_allclose(same, start, rtol=1e-6)
    np.testing.assert_allclose(same[:, :3] / same[0, 0], start[:, :3] / start[0, 0], rtol=1e-11)
    free = components.residual_components(gram, start, 6)
    np.testing.assert_allclose(components.residual_components(operator, start, 6), free, rtol=0, atol=1e-8)
    every = np.column_stack([start, free])
    np.testing.assert_allclose(
        variances.variance_ratio(operator, every), variances.variance_ratio(gram, every), rtol=1e-10
    )
    for function, arguments in (
        (variances.variance_ratio_together, (every,)),
        (components.residual_sum_of_squares, (every, every)),
    ):
        assert function(operator, *arguments) == pytest.approx(function(gram, *arguments), rel=1e-9)


def test_residual_components_of_few_genes_are_the_same_through_the_cells():
    x, membership = problem()
    data = standardize(x, center=True, scale=None)
    expected = components.residual_components(data.gram @ np.eye(G), membership.astype(float), 5)
    result = components.residual_components(data.gram, membership.astype(float), 5)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)
