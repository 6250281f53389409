"""Points of the simplex: the projection onto it, and the exact least-squares weights of cells over archetypes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.archetypes import active_set, simplex_device
from pathwayae.core.archetypes.cells import Source, check_finite, checked, chunks, shape
from pathwayae.core.threads import threads

Floats = NDArray[np.float64]

PER_THREAD = 1024  # rows: below this many a second thread costs more than it saves
TANGENTS = 20  # of the entropy at most
NEAR_ZERO = 1e-8  # weight at which the tangent of the entropy is taken where a weight is zero
SETTLED = 1e-6  # change of the weights that ends them


def project(values: NDArray[Any]) -> Floats:
    """Nearest point of the simplex to each row: ``max(v − τ, 0)`` with τ such that the row sums to one.

    Parameters
    ----------
    values
        Shape (n, k), finite.

    Returns
    -------
    Shape (n, k), rows non-negative with sum one.

    References
    ----------
    Held, Wolfe & Crowder, Validation of subgradient optimization, Math. Program. 6 (1974).

    Examples
    --------
    >>> project(np.array([[0.5, 0.7], [2.0, 0.0]]))
    array([[0.4, 0.6],
           [1. , 0. ]])
    """
    v = np.asarray(values, dtype=np.float64)
    falling = -np.sort(-v, axis=1)
    excess = (np.cumsum(falling, axis=1) - 1) / np.arange(1, v.shape[1] + 1)
    last = (falling > excess).sum(1) - 1
    return np.maximum(v - excess[np.arange(len(v)), last][:, None], 0)


def solve(gram: Floats, linear: Floats, weights: Floats, *, entropy_reg: float = 0.0) -> None:
    """Minimise ``½ aᵀGa − qᵀa`` over the simplex for every row q of ``linear``, exactly, from the rows of ``weights``.

    With ``G = ZZᵀ`` and ``q = Zx`` these are the weights of the cell x over the archetypes Z.

    A primal active-set method: the optimum on the present support is solved for in closed form; entries that would
    become negative leave, the entry with the most negative reduced gradient enters. Every step lowers the objective,
    so it ends, and a row that starts at the right support takes one step.

    Parameters
    ----------
    gram
        Positive semi-definite, shape (k, k).
    linear
        Shape (n, k).
    weights
        Shape (n, k), changed in place. Rows on the simplex, or of zeros to start from nothing.
    entropy_reg
        Adds ``½ entropy_reg · H(a)``, H the entropy in nats. Negative: still convex, and solved by Newton's method.
        Positive: the entropy is replaced by its tangent and the problem solved again, which ends in a near optimum.

    References
    ----------
    Nocedal & Wright, Numerical Optimization, 2nd ed., algorithm 16.3.

    Examples
    --------
    >>> weights = np.zeros((1, 2))
    >>> solve(np.eye(2), np.array([[0.5, 0.7]]), weights)
    >>> weights
    array([[0.4, 0.6]])
    """
    if entropy_reg >= 0 or not weights.any():
        _in_parallel(active_set.rows, gram, linear, weights)
    if entropy_reg < 0:
        _in_parallel(active_set.spread, gram, linear, weights, -0.5 * entropy_reg)
    elif entropy_reg > 0:
        _sharpen(gram, linear, weights, entropy_reg)


def _sharpen(gram: Floats, linear: Floats, weights: Floats, entropy_reg: float) -> None:
    for _ in range(TANGENTS):
        before = weights.copy()
        tangent = linear + 0.5 * entropy_reg * np.log(before + NEAR_ZERO)
        _in_parallel(active_set.rows, gram, tangent, weights)
        if np.abs(weights - before).max() < SETTLED:
            return


def _in_parallel(kernel: Callable[..., None], gram: Floats, linear: Floats, weights: Floats, *rest: float) -> None:
    """Rows in as many parts as there are threads to use; a row does not depend on the others."""
    n = len(linear)
    parts = max(1, min(threads(), n // PER_THREAD))
    if parts == 1:
        kernel(gram, linear, weights, *rest)
        return
    cuts = np.linspace(0, n, parts + 1).astype(np.int64)
    with ThreadPoolExecutor(parts) as pool:
        list(pool.map(lambda i, j: kernel(gram, linear[i:j], weights[i:j], *rest), cuts[:-1], cuts[1:]))


def weights(
    X: Source,
    archetypes: NDArray[Any],
    *,
    start: NDArray[Any] | None = None,
    device: str = "cpu",
    entropy_reg: float = 0.0,
    scale: float = 1.0,
) -> NDArray[np.float32]:
    """Weights of any cells over given archetypes: ``argmin ‖x − aZ‖²`` over the simplex, exactly, chunk by chunk.

    Parameters
    ----------
    X
        Cells × features: array, scipy sparse matrix or :class:`~pathwayae.core.archetypes.cells.Blocks`.
    archetypes
        Shape (k, d), in the units of X.
    start
        Weights to start from, shape (n, k); they change the speed, not the result.
    device
        Where the products are computed, as torch names it.
    entropy_reg, scale
        The loss per cell is ``‖x − aZ‖² / scale² + entropy_reg · H(a)``; ``scale`` is that of the fit.

    Returns
    -------
    Shape (n, k), float32, rows on the simplex.

    Raises
    ------
    ValueError
        If the features differ in number, or values are not finite.

    Examples
    --------
    >>> weights(np.array([[1.0], [5.0]]), np.array([[0.0], [4.0]]))
    array([[0.75, 0.25],
           [0.  , 1.  ]], dtype=float32)
    """
    source, z = checked(X), np.asarray(archetypes, dtype=np.float64)
    n, d = shape(source)
    if z.ndim != 2 or z.shape[1] != d:
        msg = f"X has {d} features, but the archetypes are of shape {z.shape}; pass the features they were fitted to."
        raise ValueError(msg)
    if not np.isfinite(z).all():
        msg = "The archetypes hold NaN or infinite values; pass those of a fit."
        raise ValueError(msg)
    found, center = np.zeros((n, len(z)), dtype=np.float32), z.mean(0)
    z = (z - center) / scale
    for first, x in chunks(source):
        check_finite(x, first)
        x -= center
        x /= scale
        part = slice(first, first + len(x))
        a = np.zeros((len(x), len(z))) if start is None else np.array(start[part], dtype=np.float64)
        if device == "cpu" or entropy_reg:
            solve(z @ z.T, x @ z.T, a, entropy_reg=entropy_reg)
        else:
            a = simplex_device.weights(x, z, a, device)
        found[part] = a
    return found
