"""A fit with its free components, as it is stored."""

import numpy as np
import pytest
import scipy.sparse as sp

from pathwayae.core.grouped import members
from pathwayae.core.grouped.components import residual_components
from pathwayae.core.grouped.fit import Config, fit
from pathwayae.core.grouped.model import complete
from pathwayae.core.moments.accumulate import accumulate

CONFIG = {"theta": 0.3, "epsilon": 0.2, "l1_ratio": 0.4, "learning_rate": 0.05, "max_iter": 5}


@pytest.mark.parametrize(("scores", "balance"), [("projection", False), ("projection", True), ("least_squares", False)])
def test_loadings_have_unit_length_and_scores_are_those_of_the_fit(scores, balance):
    rng = np.random.default_rng(0)
    x, membership = rng.normal(size=(80, 20)) @ rng.normal(size=(20, 20)), rng.random((20, 3)) < 0.4
    data, config = accumulate(x).standardize(), Config(**CONFIG, scores=scores, balance=balance)
    found = fit(data, membership, np.ones(20, bool), 3, config)
    model = complete(data.gram, found, 2, config)
    free = residual_components(data.gram, found.encoder, 2)
    assert model.tied == (scores == "projection" and not balance)
    encoder, own = model.encoder.toarray(), found.encoder.toarray()
    assert (model.loadings.dtype, encoder.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(np.linalg.norm(model.loadings, axis=0), 1.0, rtol=1e-6)  # float32
    np.testing.assert_allclose((model.loadings * model.norm)[:, :3], found.loadings, rtol=1e-6)
    np.testing.assert_allclose(model.loadings[:, 3:], free, rtol=1e-6)
    # A projection on unit loadings is in their unit, a regression on them is not.
    unit = model.norm[:3] if scores == "projection" else 1.0
    np.testing.assert_allclose(encoder[:, :3], own / unit, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(encoder[:, 3:], free, rtol=1e-6)
    np.testing.assert_array_equal(encoder, encoder.astype(np.float32))  # rounded as it is stored


@pytest.mark.parametrize("balance", [True, False])
@pytest.mark.parametrize("n_extra", [0, 3])
def test_a_model_of_members_on_a_support_is_the_dense_one_with_zeros(balance, n_extra):
    rng = np.random.default_rng(1)
    g = 130
    x = rng.gamma(2.0, 1.0, size=(200, g)) @ (np.eye(g) + 0.1 * rng.random((g, g)))
    membership = sp.csc_array(rng.random((g, 7)) < 0.1)
    data = accumulate(x).standardize(scale="pareto")
    shared = CONFIG | {"scores": "members", "balance": balance}
    dense, some = (
        complete(data.gram, fit(data, membership, np.ones(g, bool), 7, config), n_extra, config)
        for config in (Config(**shared, support=False), Config(**shared, support=True))
    )
    assert isinstance(dense.loadings, np.ndarray)
    assert isinstance(some.loadings, sp.csr_array)
    assert some.loadings.dtype == np.float32
    assert some.encoder.is_sparse
    assert not some.tied
    assert not dense.tied
    member, loadings = membership.toarray(), some.loadings.toarray()
    kept = loadings[:, :7] != 0
    assert kept[member].all()
    outside = (kept & ~member).sum(axis=0)
    np.testing.assert_array_equal(outside, np.maximum(members.FEWEST, member.sum(axis=0)))
    # Both are of unit length: on a support of what is left of a column.
    whole = dense.loadings * dense.norm
    found = loadings * some.norm
    np.testing.assert_allclose(found[:, :7], np.where(kept, whole[:, :7], 0.0), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(loadings, axis=0), 1.0, rtol=1e-6)
    np.testing.assert_allclose(loadings[:, 7:], dense.loadings[:, 7:], atol=1e-6)
    np.testing.assert_allclose(some.encoder.toarray(), dense.encoder.toarray(), atol=1e-6)
    weights = some.encoder.weights
    np.testing.assert_array_equal(weights[:, :7].toarray() != 0, member)
    for part in (weights.data, some.encoder.level):
        if part is not None:
            np.testing.assert_array_equal(part, part.astype(np.float32))  # rounded as it is stored
    assert (some.encoder.level is not None) == balance
    if balance:
        np.testing.assert_array_equal(some.encoder.level[:, 7:], 0.0)
