"""Where the archetypes start: cells far from what the others already explain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.archetypes import simplex

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]

STARTS = ("aa++", "furthest_sum", "kmeans++")
REPLACED = 10  # furthest sum: the first choices were made knowing little, so they are made again


def choose(points: Floats, k: int, start: str, rng: np.random.Generator, weights: Floats) -> Positions:
    """Positions of k distinct cells.

    Parameters
    ----------
    points
        Shape (n, d); those of weight zero are not chosen.
    k
        How many.
    start
        ``"aa++"``: the next cell with a probability proportional to its squared distance to the hull of the cells
        chosen so far; ``"kmeans++"``: to the nearest of them; ``"furthest_sum"``: the cell with the largest sum of
        distances to them, the first ten replaced.
    rng
        Source of the draws.
    weights
        Shape (n,).

    Returns
    -------
    Shape (k,).

    References
    ----------
    Mair & Sjölund, Archetypal analysis++, arXiv:2301.13748. Arthur & Vassilvitskii, k-means++, SODA 2007. Mørup &
    Hansen, Archetypal analysis for machine learning and data mining, Neurocomputing 80 (2012).
    """
    if start == "furthest_sum":
        return _furthest_sum(points, k, rng, weights)
    chosen = [int(rng.choice(len(points), p=weights / weights.sum()))]
    squares = np.square(points - points[chosen[0]]).sum(1)
    while len(chosen) < k:
        chance = _left(weights * squares, weights, points, chosen)
        chosen.append(int(rng.choice(len(points), p=chance / chance.sum())))
        if start == "kmeans++":
            squares = np.minimum(squares, np.square(points - points[chosen[-1]]).sum(1))
        else:
            squares = _to_hull(points, points[chosen])
    return np.array(chosen)


def _left(chance: Floats, weights: Floats, points: Floats, chosen: list[int]) -> Floats:
    """The chances, or where all cells are explained already, any cell that is not one of the chosen."""
    if chance.max() > 1e-12 * max(float(np.square(points).sum(1).max()), 1e-300) * weights.max():
        return chance
    other = np.ones(len(points), dtype=bool)
    for i in chosen:
        other &= (points != points[i]).any(1)
    return weights * other


def _to_hull(points: Floats, corners: Floats) -> Floats:
    """Squared distances to the hull of a few corners."""
    offset = corners[0]
    x, z = points - offset, corners - offset
    weights = np.zeros((len(x), len(z)))
    simplex.solve(z @ z.T, x @ z.T, weights)
    return np.square(x - weights @ z).sum(1)


def _furthest_sum(points: Floats, k: int, rng: np.random.Generator, weights: Floats) -> Positions:
    allowed = weights > 0
    chosen = [int(rng.choice(np.flatnonzero(allowed)))]
    squares = np.square(points).sum(1)

    def distances(i: int) -> Floats:
        return np.sqrt(np.maximum(squares + squares[i] - 2 * points @ points[i], 0))

    total = distances(chosen[0])
    for _ in range(k + REPLACED - 1):
        if len(chosen) == k:
            total -= distances(chosen.pop(0))
        free = allowed.copy()
        for i in chosen:
            free &= (points != points[i]).any(1)
        if not free.any():
            break
        chosen.append(int(np.argmax(np.where(free, total, -np.inf))))
        total += distances(chosen[-1])
    return np.array(chosen)
