"""Where a descent starts: the pathways themselves, scaled to the data, and the way back through the activation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.grouped.encoder import Scores
from pathwayae.core.grouped.loss import Activation
from pathwayae.core.moments.gram_product import Gram

Floats = NDArray[np.float64]

SMALL = 0.01  # start of a loading outside its pathway, relative to one inside
NOISE = 1e-3  # relative: breaks ties between pathways with the same genes, and moves nothing else


def deactivate(weights: Floats, activation: Activation) -> Floats:
    """``V`` with ``act(V) = W``; weights are moved inside the range of the activation first."""
    if activation == "softplus":
        weights = np.maximum(weights, 1e-6)
        return weights + np.log(-np.expm1(-weights))
    if activation == "sigmoid":
        weights = np.clip(weights, 1e-6, 1.0 - 1e-3)
        return np.log(weights) - np.log1p(-weights)
    return weights


def start(
    membership: NDArray[np.bool_] | Floats,
    n_components: int,
    gram: Gram,
    *,
    scores: Scores,
    rng: np.random.Generator,
    hidden: float = 0.0,
) -> Floats:
    """Loadings to start from: the membership, scaled to explain the data as well as one scalar can.

    1 inside a pathway and ``SMALL`` outside (or the probability of membership, at least ``SMALL``), free components all
    1, each times seeded noise; columns of unit length; then, for ``scores="projection"``, times s with
    ``s² = tr A / tr((A + λ WᵀDW) B)``, the minimum of ``tr G − 2 s² tr A + s⁴ tr((A + λ WᵀDW) B)``; λ is ``hidden``.
    """
    g, p = membership.shape
    weights = np.ones((g, n_components))
    weights[:, :p] = np.maximum(membership, SMALL)
    weights *= 1.0 + NOISE * rng.uniform(-1.0, 1.0, size=weights.shape)
    if n_components > p:
        weights[:, p:] *= rng.uniform(size=(g, n_components - p))
    weights /= np.linalg.norm(weights, axis=0)
    if scores == "least_squares":
        return weights
    a = weights.T @ (gram @ weights)
    seen = a + hidden * (weights.T @ (np.asarray(gram.diagonal())[:, None] * weights))
    power = float(np.sum(seen * (weights.T @ weights)))
    return weights * np.sqrt(np.trace(a) / power) if power > 0 else weights
