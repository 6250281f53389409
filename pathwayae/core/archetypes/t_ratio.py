"""Are the cells a polytope at all: how much of their hull the archetypes fill, against cells without corners.

principal axes → permuted cells of the same mean and covariance → refits → t-ratio, explained variance → p-values
"""

from __future__ import annotations

from math import factorial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

Floats = NDArray[np.float64]

MAX_DIMENSIONS = 6  # of a convex hull; its facets grow as n^(dimensions / 2)
TIE = 1e-12  # what differs by less is the same


def t_ratio(X: NDArray[Any], archetypes: NDArray[Any]) -> float:
    """Volume of the archetypes' simplex over the volume of the cells' convex hull, in the span of the archetypes.

    Cells are projected onto the k − 1 dimensions through the archetypes. 1 says that the cells fill a simplex whose
    corners are the archetypes, 0 that the archetypes miss the hull. Archetypes within the hull give at most 1, relaxed
    ones (``delta > 0``) may give more. The ratio of Hart et al. (2015), 10.1038/nmeth.3254; Shoval et al. (2012),
    10.1126/science.1217405, who enclose the cells instead, take its inverse.

    Parameters
    ----------
    X
        Cells × features, shape (n, d).
    archetypes
        Shape (k, d).

    Returns
    -------
    A ratio ≥ 0; NaN where the archetypes or the cells span less than k − 1 dimensions, or k − 1 is above 6, where the
    volume of a hull takes too long.

    Examples
    --------
    >>> square = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> round(t_ratio(square, square[:3]), 6)
    0.5
    """
    X, archetypes = np.asarray(X, dtype=np.float64), np.asarray(archetypes, dtype=np.float64)
    dimensions = len(archetypes) - 1
    if not 1 <= dimensions <= min(MAX_DIMENSIONS, X.shape[1]):
        return float("nan")
    _, lengths, axes = np.linalg.svd(archetypes[1:] - archetypes[0], full_matrices=False)
    if lengths[-1] <= 1e-9 * lengths[0]:
        return float("nan")
    inside = (X - archetypes[0]) @ axes.T / lengths  # each axis in its own unit, so that no hull is too flat for qhull
    if dimensions == 1:
        hull = float(np.ptp(inside))
    else:
        try:
            hull = float(ConvexHull(inside).volume)
        except QhullError:
            return float("nan")
    return float(1.0 / factorial(dimensions) / hull) if hull > 0 else float("nan")


class Null:
    """Cells with the mean and the covariance of the cells, but without their corners.

    The cells are turned to their principal axes, which changes no archetype; on each axis the cells are permuted, one
    axis independently of the others; the small correlations that chance leaves are taken out (symmetrically), and every
    axis gets its variance back. So the total variance, and with it the scale of the problem, is the same in every
    draw, and correlated features alone are no evidence for archetypes. It takes many more cells than dimensions.

    Parameters
    ----------
    X
        Cells × features, shape (n, d), dense.
    axes
        False to permute the features themselves (Hart et al. 2015): means and variances stay, correlations go.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(50, 3)) @ [[3.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    >>> other = Null(X).draw(np.random.default_rng(1))
    >>> bool(np.allclose(np.cov(other.T), np.cov(X.T))), bool(np.allclose(other, X))
    (True, False)
    """

    def __init__(self, X: NDArray[Any], *, axes: bool = True) -> None:
        X = np.asarray(X, dtype=np.float64)
        self._mean = X.mean(axis=0)
        self._axes = axes
        if not axes:
            self._values = X - self._mean
            return
        left, lengths, right = np.linalg.svd(X - self._mean, full_matrices=False)
        kept = lengths > 1e-10 * lengths[0]
        self._values, self._back = left[:, kept], lengths[kept, None] * right[kept]

    def draw(self, rng: np.random.Generator) -> Floats:
        """One draw, shape (n, d)."""
        mixed = rng.permuted(self._values, axis=0)
        if not self._axes:
            return mixed + self._mean
        values, vectors = np.linalg.eigh(mixed.T @ mixed)
        values = np.maximum(values, 1e-12)
        return mixed @ (vectors / np.sqrt(values)) @ (vectors.T @ self._back) + self._mean


class Significance(NamedTuple):
    """A statistic against its null: its mean and 95 % quantile there, and ``(b + 1) / (B + 1)``."""

    observed: float
    null_mean: float
    null_high: float
    pval: float


def significance(observed: float, null: Floats) -> Significance:
    """One-sided: b is the number of draws at least as large as what was observed.

    p is never 0, and uniform where the cells are a draw of the null themselves (Phipson and Smyth 2010,
    10.2202/1544-6115.1585). NaN where the statistic is.

    Parameters
    ----------
    observed
        The statistic of the cells.
    null
        Of the draws, shape (B,). A draw without a value counts as one that is larger.

    Examples
    --------
    >>> significance(2.0, np.array([0.0, 1.0, 3.0])).pval
    0.5
    """
    if not np.isfinite(observed) or not len(null):
        return Significance(observed, float("nan"), float("nan"), float("nan"))
    above = int(np.sum(~(null < observed - TIE)))
    known = null[np.isfinite(null)]
    mean, high = (float(known.mean()), float(np.quantile(known, 0.95))) if len(known) else (float("nan"),) * 2
    return Significance(float(observed), mean, high, (above + 1.0) / (len(null) + 1.0))
