"""Cells that fit badly count less, and no archetype is made of them: iteratively reweighted least squares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HUBER, BISQUARE = 2.0, 6.0  # in medians of the residuals
CORNER = 0.5  # factor from which on archetypes may be made of a cell
ROUNDS = 10
SETTLED = 1e-3  # change of the weights that ends the rounds


def reweight(residuals: Floats, weights: Floats, kind: str) -> Floats:
    """Factors between 0 and 1 for the weights of cells, from the lengths of their residuals.

    With u the residual in weighted medians of all: Huber ``min(1, 2 / u)``, bisquare ``(1 − (u / 6)²)²``, 0 above 6.

    Parameters
    ----------
    residuals, weights
        Shape (n,).
    kind
        ``"huber"`` or ``"bisquare"``.

    References
    ----------
    Eugster & Leisch, Weighted and robust archetypal analysis, Comput. Stat. Data Anal. 55 (2011). Cleveland, Robust
    locally weighted regression, J. Am. Stat. Assoc. 74 (1979), for six medians.

    Examples
    --------
    >>> reweight(np.array([1.0, 1.0, 1.0, 4.0]), np.ones(4), "huber")
    array([1. , 1. , 1. , 0.5])
    """
    middle = weighted_median(residuals, weights)
    if middle <= 1e-9 * max(float(residuals.max()), 1e-300):
        # More than half of the cells fit perfectly: nothing to measure the others by.
        return np.ones(len(residuals))
    u = residuals / middle
    if kind == "huber":
        return np.minimum(1.0, HUBER / np.maximum(u, 1e-300))
    return np.square(np.maximum(1 - np.square(u / BISQUARE), 0.0))


def weighted_median(values: Floats, weights: Floats) -> float:
    """Smallest value up to which half of the weight lies."""
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(mass, 0.5 * mass[-1])])
