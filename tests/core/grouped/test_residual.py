"""Free components beside sparse encoders, from matrices, sketches and few cells, against explicit eigenvectors."""

import numpy as np
import pytest
import scipy.sparse as sp

from pathwayae.core.grouped import components
from pathwayae.core.grouped.encoder import Encoder, balanced_encoder
from pathwayae.core.moments.gram_product import standardize
from pathwayae.core.moments.low_rank import LowRank


def cells(n, g, r=12, seed=0):
    """Cells with r directions whose variances fall off, and little noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, r)) * 5.0 * 0.8 ** np.arange(r) @ np.linalg.qr(rng.normal(size=(g, r)))[0].T
    return x * np.sqrt(n) / 5.0 + 0.02 * rng.normal(size=(n, g))


def weights_of(g, p, seed=1, share=0.1):
    """Sets of genes with a few duplicates, combinations and an empty one at the end."""
    rng = np.random.default_rng(seed)
    own = rng.gamma(1.0, 1.0, size=(g, p - 4)) * (rng.random((g, p - 4)) < share)
    more = [own[:, [0]], 2.0 * own[:, [1]], own[:, [2]] + own[:, [3]], np.zeros((g, 1))]
    return np.column_stack([own, *more])


def expected_of(gram, w, n_extra):
    """Explicit eigenvectors and values of the residual, with the projector from an SVD."""
    left, singular, _ = np.linalg.svd(w, full_matrices=False)
    basis = left[:, singular > 1e-9 * singular.max(initial=1e-300)]
    rest = np.eye(len(gram)) - basis @ basis.T
    values, vectors = np.linalg.eigh(rest @ gram @ rest)
    return values[::-1][:n_extra], vectors[:, ::-1][:, :n_extra]


def assert_components(found, gram, w, n_extra, atol=1e-7):
    values, vectors = expected_of(gram, w, n_extra)
    assert found.shape == (len(gram), n_extra)
    np.testing.assert_allclose(found.T @ found, np.eye(n_extra), rtol=0, atol=1e-9)
    unit = w / np.maximum(np.linalg.norm(w, axis=0), 1e-300)
    assert np.abs(unit.T @ found).max(initial=0.0) < atol
    assert (found[np.abs(found).argmax(axis=0), np.arange(n_extra)] > 0).all()
    np.testing.assert_allclose(np.abs((found * vectors).sum(axis=0)), 1.0, rtol=0, atol=atol)
    np.testing.assert_allclose(((gram @ found) * found).sum(axis=0), values, rtol=1e-6)


@pytest.mark.parametrize("make", [np.asarray, sp.csc_array, sp.csr_array], ids=["dense", "csc", "csr"])
@pytest.mark.parametrize("p", [20, 300], ids=["few", "many"])
@pytest.mark.parametrize("balance", [True, False])
def test_components_beside_an_encoder_are_eigenvectors_of_what_it_leaves(make, p, balance):
    g = 400
    assert (p > components.FEW) == (p == 300)
    x, w = cells(600, g), weights_of(g, p, share=0.05)
    x -= x.mean(axis=0)
    bins = np.arange(g) % 5
    encoder = balanced_encoder(make(w), bins) if balance else Encoder(make(w))
    gram, before = x.T @ x, encoder.toarray().copy()
    found, again = (components.residual_components(gram, encoder, 5) for _ in range(2))
    assert_components(found, gram, before, 5)
    np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(encoder.toarray(), before)
    start = np.linalg.eigh(gram)[1][:, ::-1][:, :40]
    directed = components.residual_components(gram, encoder, 5, directions=start)
    assert_components(directed, gram, before, 5)


@pytest.mark.parametrize("p", [20, 300], ids=["few", "many"])
@pytest.mark.parametrize("balance", [True, False])
def test_components_of_few_cells_are_those_of_their_gram_matrix(p, balance):
    g, n = 700, 90
    x, w = cells(n, g), weights_of(g, p, share=0.02)
    bins = np.arange(g) % 5
    encoder = balanced_encoder(sp.csc_array(w), bins) if balance else Encoder(sp.csc_array(w))
    dense = x - x.mean(axis=0)
    gram, w = dense.T @ dense, encoder.toarray()
    for make in (np.asarray, sp.csr_array):
        operator = standardize(make(x), center=True, scale=None).gram
        assert operator.through_kernel
        found = components.residual_components(operator, encoder, 4)
        assert_components(found, gram, w, 4)
        plain = components.residual_components(operator, w, 4)
        np.testing.assert_allclose(np.abs((found * plain).sum(axis=0)), 1.0, rtol=0, atol=1e-7)
    none = components.residual_components(operator, np.zeros((g, 0)), 4)
    assert_components(none, gram, np.zeros((g, 0)), 4)


@pytest.mark.parametrize("sparse", [True, False])
def test_where_the_residual_of_few_cells_runs_out_components_stay_beside_the_encoder(sparse):
    g, n = 300, 30
    x = np.random.default_rng(3).normal(size=(n, g))
    operator = standardize(x, center=True, scale=None).gram
    x = x - x.mean(axis=0)  # the operator holds the cells
    # An encoder that spans all but three directions of the cells leaves three.
    w = np.linalg.svd(x, full_matrices=False)[2][:26].T
    encoder = Encoder(sp.csc_array(w) if sparse else w)
    found = components.residual_components(operator, encoder, 10)
    np.testing.assert_allclose(found.T @ found, np.eye(10), rtol=0, atol=1e-8)
    assert np.abs(w.T @ found).max() < 1e-8
    power = ((x @ found) ** 2).sum(axis=0)
    np.testing.assert_allclose(power[:3], expected_of(x.T @ x, w, 3)[0], rtol=1e-7)
    np.testing.assert_allclose(power[3:], 0.0, atol=1e-8 * power[0])


@pytest.mark.parametrize(("g", "p"), [(200, 20), (400, 20), (400, 300)])
@pytest.mark.parametrize("sparse", [True, False])
def test_components_of_a_low_rank_are_those_of_its_matrix(g, p, sparse):
    rng = np.random.default_rng(4)
    factors = np.linalg.qr(rng.normal(size=(g, 30)))[0] * 10.0 * 0.85 ** np.arange(30)
    low, w = LowRank(rng.uniform(0.01, 0.02, size=g), factors), weights_of(g, p, share=0.05)
    encoder = Encoder(sp.csc_array(w) if sparse else w)
    gram = np.diag(low.own) + factors @ factors.T
    assert_components(components.residual_components(low, encoder, 3), gram, w, 3)
    assert_components(components.residual_components(low, encoder, 3, directions=factors), gram, w, 3)


@pytest.mark.parametrize("make", [sp.csr_array, sp.csc_array, sp.csr_matrix])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_how_columns_spread_is_the_same_where_they_are_sparse(make, dtype):
    w = weights_of(50, 12).astype(dtype)
    w[3, 2] = -40.0
    given = make(w)
    # Stored from the last to the first, and left so.
    for i in range(len(given.indptr) - 1):
        place = slice(*given.indptr[i : i + 2])
        given.indices[place], given.data[place] = given.indices[place][::-1].copy(), given.data[place][::-1].copy()
    given.has_sorted_indices = False
    before = given.data.copy(), given.indices.copy()
    for function in (components.n_effective, components.largest_share):
        found = function(given)
        assert found.shape == (12,)
        np.testing.assert_allclose(found, function(w), rtol=1e-6)
        assert found[-1] == 0
    np.testing.assert_array_equal(given.data, before[0])
    np.testing.assert_array_equal(given.indices, before[1])
    np.testing.assert_array_equal(given.toarray(), w)
    for function in (components.n_effective, components.largest_share):
        assert function(make((4, 0))).shape == (0,)
        assert function(make((4, 3))).tolist() == [0.0, 0.0, 0.0]
