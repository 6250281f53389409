"""A fit with its free components, as it is stored."""

import numpy as np
import pytest

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
