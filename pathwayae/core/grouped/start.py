"""Where a descent starts: the pathways themselves, scaled to the data, and the way back through the activation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.grouped.components import residual_components
from pathwayae.core.grouped.encoder import Scores
from pathwayae.core.grouped.loss import Activation
from pathwayae.core.moments.gram_product import Gram

Floats = NDArray[np.float64]

STEPS = 100  # of a rotation, and of non-negative columns on the way to a start
MOST = 100.0  # by which one such step may change a weight, squared
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
    signed: bool = False,
) -> Floats:
    """Loadings to start from: the membership, scaled to explain the data as well as one scalar can.

    1 inside a pathway and ``SMALL`` outside (or the probability of membership, at least ``SMALL``), free components by
    :func:`beside`, each times seeded noise; columns of unit length; then, for ``scores="projection"``, times s with
    ``s² = tr A / tr((A + λ WᵀDW) B)``, the minimum of ``tr G − 2 s² tr A + s⁴ tr((A + λ WᵀDW) B)``; λ is ``hidden``.
    """
    own = np.maximum(np.asarray(membership, dtype=np.float64), SMALL)
    weights = np.column_stack([own, beside(gram, own, n_components - own.shape[1], rng, signed=signed)])
    weights *= 1.0 + NOISE * rng.uniform(-1.0, 1.0, size=weights.shape)
    weights /= np.linalg.norm(weights, axis=0)
    if scores == "least_squares":
        return weights
    a = weights.T @ (gram @ weights)
    seen = a + hidden * (weights.T @ (np.asarray(gram.diagonal())[:, None] * weights))
    power = float(np.sum(seen * (weights.T @ weights)))
    return weights * np.sqrt(np.trace(a) / power) if power > 0 else weights


def beside(gram: Gram, own: Floats, n_free: int, rng: np.random.Generator, *, signed: bool = False) -> Floats:
    """Free components to start from: groups of genes that go together in what the pathways leave, shape (g, n_free).

    Leading eigenvectors of what the pathways leave over, rotated so that each loads few genes, made non-negative, and
    improved by the multiplicative steps of projective NMF (Yang and Oja 2010, 10.1109/TNN.2010.2041361),
    ``W ← W ∘ √(2 G W / (W WᵀGW + G W WᵀW))``, which lower ``‖X̃ − X̃WWᵀ‖²`` and drive columns apart; those of the
    pathways stay. Where structure is strong a descent from even or random columns never finds such groups.

    Parameters
    ----------
    gram
        ``X̃ᵀX̃``, shape (g, g), or its operator.
    own
        Columns of the pathways, shape (g, p).
    rng
        For components that are more than the genes leave room for.
    signed
        Loadings may be negative: the rotated eigenvectors as they are.
    """
    g, p = own.shape
    found = min(n_free, g - p)
    free = rng.uniform(SMALL, 1.0, size=(g, n_free))
    if found < 1:
        return free
    rotated = varimax(residual_components(gram, own, found))
    rotated *= np.where((rotated**3).sum(axis=0) < 0, -1.0, 1.0)
    if signed:
        free[:, :found] = rotated
        return free
    free[:, :found] = np.maximum(rotated, SMALL * np.abs(rotated).max(axis=0))
    weights = np.column_stack([own, free])
    weights /= np.linalg.norm(weights, axis=0)
    for _ in range(STEPS):
        along = np.asarray(gram @ weights)
        inner = weights.T @ along
        if not (power := float(np.sum(inner * (weights.T @ weights)))) > 0:
            break
        # The scale that is best in closed form, so that steps turn columns and do not stretch them.
        size = np.sqrt(max(np.trace(inner), 0.0) / power)
        weights, along, inner = size * weights, size * along, size**2 * inner
        parts = (-2.0 * along, weights @ inner, along @ (weights.T @ weights))  # of the gradient
        up, down = (sum(np.maximum(sign * part, 0.0) for part in parts) for sign in (-1.0, 1.0))
        ratio = np.divide(up, down, out=np.ones_like(along), where=down > 0)
        weights[:, p:] *= np.sqrt(np.clip(ratio, 1.0 / MOST, MOST))[:, p:]
    free = weights[:, p:]
    return np.maximum(free, SMALL * free.max(axis=0))


def varimax(columns: Floats) -> Floats:
    """Orthonormal columns of the same span, rotated so that the squares of each vary most over the rows (Kaiser 1958).

    Of orthonormal columns the criterion is ``Σ l⁴`` but for a constant. It is convex, so that every step, the rotation
    next to ``Uᵀ(UT)³``, raises it.

    Examples
    --------
    >>> turned = varimax(np.array([[0.8, 0.6], [-0.6, 0.8]]))
    >>> np.abs(turned).round(3).max(axis=0).tolist()
    [1.0, 1.0]
    """
    turn = np.eye(columns.shape[1])
    for _ in range(STEPS):
        left, _, right = np.linalg.svd(columns.T @ (columns @ turn) ** 3)
        turn, before = left @ right, turn
        if np.abs(turn - before).max(initial=0.0) < 1e-6:
            break
    return columns @ turn
