"""Scores of cells with sparse weights and a level, against the dense formula."""

import numpy as np
import pytest
import scipy.sparse as sp
from pairwise import pairwise

from pathwayae.core import threads
from pathwayae.core.grouped.encoder import Encoder
from pathwayae.core.grouped.project import project
from pathwayae.core.moments import accumulate

N, G, K = 40, 30, 6
FORMATS = [np.asarray, np.asfortranarray, sp.csr_matrix, sp.csr_array, sp.csc_array]
GENES = {"all": None, "some": np.array([7, 0, 29, 11, 3, 20, 21]), "reversed": np.arange(G)[::-1]}


def parts(weights):
    return [weights.data, weights.indices, weights.indptr] if sp.issparse(weights) else [weights]


@pytest.mark.parametrize(
    ("make", "weigh", "binned", "genes", "dtype", "rows"),
    pairwise(
        make=FORMATS,
        weigh=[np.asarray, sp.csc_array, sp.csr_array, sp.csr_matrix],
        binned=[True, False],
        genes=list(GENES),
        dtype=[np.float64, np.float32, np.int64],
        rows=[1, 7, 1000],
    ),
)
def test_scores_are_those_of_the_dense_formula(monkeypatch, make, weigh, binned, genes, dtype, rows):
    rng, columns = np.random.default_rng(0), GENES[genes]
    x = (rng.poisson(2.0, size=(N, G)) * (rng.random((N, G)) < 0.5) * 1.3).astype(dtype)
    m = G if columns is None else len(columns)
    monkeypatch.setattr(accumulate, "BLOCK_BYTES", 8 * m * rows)
    mean, scale = rng.normal(size=m), rng.uniform(0.5, 2.0, size=m)
    weights = rng.normal(size=(m, K)) * (rng.random((m, K)) < 0.3)
    bins, level = (rng.permutation(m) * 3 // m, rng.normal(size=(3, K))) if binned else (None, None)
    encoder, given = Encoder(weigh(weights), bins, level), make(x)
    before = [part.copy() for part in parts(encoder.weights)]
    dense = weights - level[bins] if binned else weights
    chosen = x.astype(float) if columns is None else x.astype(float)[:, columns]
    found = project(given, mean, scale, encoder, genes=columns)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, (chosen - mean) / scale @ dense, rtol=0, atol=1e-11)
    assert project(given[:0], mean, scale, encoder, genes=columns).shape == (0, K)
    np.testing.assert_array_equal(given.toarray() if sp.issparse(given) else given, x)
    for part, own in zip(parts(encoder.weights), before, strict=True):
        np.testing.assert_array_equal(part, own)


@pytest.mark.parametrize("weigh", [np.asarray, sp.csr_array])
def test_genes_that_new_cells_do_not_have_count_as_being_at_their_mean(weigh):
    rng = np.random.default_rng(1)
    x, mean, scale = rng.poisson(1.0, size=(N, G)), rng.uniform(size=G), rng.uniform(0.5, 2.0, size=G)
    weights, bins, level = rng.normal(size=(G, K)), np.arange(G) % 4, rng.normal(size=(4, K))
    encoder, found = Encoder(weigh(weights), bins, level), rng.permutation(G)[:12]
    at_mean = np.tile(mean, (N, 1))
    at_mean[:, found] = x[:, found]
    expected = (at_mean - mean) / scale @ (weights - level[bins])
    order = rng.permutation(12)  # the cells have them in an order of their own
    theirs = x[:, found][:, order]
    place = np.argsort(order)
    for cells in (theirs, sp.csr_array(theirs)):
        some = project(cells, mean[found], scale[found], encoder.of_genes(found), genes=place)
        np.testing.assert_allclose(some, expected, rtol=0, atol=1e-11)


def test_threads_and_the_last_bins_being_empty_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    cells, weights = sp.csr_array(rng.poisson(1.0, size=(N, G)) * 0.1), sp.csr_array(rng.random((G, K)) < 0.2) * 1.0
    encoder = Encoder(weights, np.arange(G) % 3, rng.normal(size=(3, K)))
    mean, scale = rng.normal(size=G), rng.uniform(0.5, 2.0, size=G)
    whole = project(cells, mean, scale, encoder)
    monkeypatch.setattr(threads, "SMALL", 0)
    monkeypatch.setattr(threads, "threads", lambda: 3)
    np.testing.assert_array_equal(project(cells, mean, scale, encoder), whole)
    genes = np.flatnonzero(encoder.bins < 2)  # none of the last bin is left
    part = project(cells, mean[genes], scale[genes], encoder.of_genes(genes), genes=genes)
    expected = (cells.toarray()[:, genes] - mean[genes]) / scale[genes] @ encoder.toarray()[genes]
    np.testing.assert_allclose(part, expected, rtol=0, atol=1e-11)
