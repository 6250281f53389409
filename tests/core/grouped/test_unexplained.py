"""Distance of cells to the span of the encoders, against dense least squares."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from pathwayae.core.grouped import unexplained
from pathwayae.core.grouped.encoder import Encoder, balanced_encoder

GENES = np.array([11, 3, 4, 0, 8, 15, 2, 9, 6, 13])


@pytest.fixture(scope="module")
def cells() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.poisson(0.7, size=(50, 16)).astype(np.float32)


def parts(kind: str):
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(10, 3)) * (rng.random((10, 3)) < 0.7)
    if kind == "balanced":
        return balanced_encoder(sp.csc_array(weights), np.arange(10) % 2)
    if kind == "twice the same":
        weights[:, 1] = weights[:, 0]
    return Encoder(weights)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("kind", ["dense", "balanced", "twice the same"])
@pytest.mark.parametrize("batches", [False, True])
def test_what_is_left_is_the_residual_of_least_squares(cells: np.ndarray, form, kind: str, batches: bool) -> None:
    rng = np.random.default_rng(2)
    scale = rng.gamma(2.0, size=10) + 0.2
    batch = rng.integers(0, 3, size=50) if batches else None
    means = rng.random((3, 10)) if batches else rng.random(10)
    encoder = parts(kind)
    tilde = (cells[:, GENES].astype(float) - (means[batch] if batches else means)) / scale
    scores = tilde @ encoder.toarray()
    found = unexplained.residual(encoder, means, scale, np.array([0.3, 0.2, 0.1]), "pareto")
    left = found.of(form(cells), scores, GENES, batch)
    for i in range(50):
        explained = encoder.toarray() @ np.linalg.lstsq(encoder.toarray(), tilde[i], rcond=1e-6)[0]
        assert left[i] == pytest.approx(((tilde[i] - explained) ** 2).sum() / (scale**2).sum(), rel=1e-5)


def test_components_that_explain_most_span(cells: np.ndarray, monkeypatch) -> None:
    monkeypatch.setattr(unexplained, "MOST", 1)
    encoder = parts("dense")
    tilde = cells[:, GENES].astype(float)
    found = unexplained.residual(encoder, np.zeros(10), np.ones(10), np.array([0.1, 0.5, 0.2]), "unit")
    axis = encoder.toarray()[:, 1] / np.linalg.norm(encoder.toarray()[:, 1])
    expected = ((tilde - np.outer(tilde @ axis, axis)) ** 2).sum(axis=1) / 10
    np.testing.assert_allclose(found.of(cells, tilde @ encoder.toarray(), GENES), expected, rtol=1e-6)
