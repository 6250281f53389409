"""Are the archetypes those of other cells too: draws with replacement, matched one to one, and a verdict for each.

archetypes + archetypes of draws → matched draws → spread and verdict per archetype
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

Floats = NDArray[np.float64]

HOLDS = 0.9  # a stable archetype is found again in this share of the draws
HALFWAY = 0.5  # of the way to the nearest other archetype: beyond it a draw could as well have found that one


def draws(
    n: int, n_draws: int, rng: np.random.Generator, *, strata: NDArray[np.intp] | None = None
) -> Iterator[NDArray[np.int32]]:
    """How often every cell is drawn when n cells are drawn with replacement, one draw after the other.

    The bootstrap of Efron (1979), 10.1214/aos/1176344552. With strata (donors), whole strata are drawn, as many as
    there are: cells of one donor resemble each other, so that drawing cells would make the spread too small.

    Parameters
    ----------
    n
        Number of cells.
    n_draws
        Number of draws.
    rng
        Source of the draws.
    strata
        Stratum of each cell, from 0 to S − 1, shape (n,).

    Yields
    ------
    Non-negative integers, shape (n,), one array per draw.

    Examples
    --------
    >>> [int(times.sum()) for times in draws(5, 2, np.random.default_rng(0))]
    [5, 5]
    >>> donors = np.array([0, 0, 1, 1])
    >>> [times.tolist() for times in draws(4, 2, np.random.default_rng(1), strata=donors)]
    [[1, 1, 1, 1], [2, 2, 0, 0]]
    """
    units = n if strata is None else int(strata.max()) + 1
    for _ in range(n_draws):
        times = rng.multinomial(units, np.full(units, 1.0 / units)).astype(np.int32)
        yield times if strata is None else times[strata]


def match(reference: NDArray[Any], others: Sequence[NDArray[Any]] | NDArray[Any]) -> Floats:
    """The archetypes of every draw in the order of the reference: one to one, with the smallest sum of squares.

    The assignment problem, exactly (Kuhn 1955, 10.1002/nav.3800020109). Every draw has as many archetypes as the
    reference, so each finds a partner.

    Parameters
    ----------
    reference
        Shape (k, d).
    others
        R times (k, d).

    Returns
    -------
    Shape (R, k, d).

    Examples
    --------
    >>> reference = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> bool(np.array_equal(match(reference, [reference[[2, 0, 1]]])[0], reference))
    True
    """
    found = np.empty((len(others), *reference.shape))
    for i, other in enumerate(others):
        if other.shape != reference.shape:
            msg = (
                f"draw {i} has archetypes of shape {other.shape}, the reference {reference.shape}; they must be alike."
            )
            raise ValueError(msg)
        found[i] = other[linear_sum_assignment(cdist(reference, other, "sqeuclidean"))[1]]
    return found


def spread(names: Sequence[str], archetypes: NDArray[Any], matched: Floats) -> pd.DataFrame:
    """How far each archetype moves from draw to draw, and whether it stays itself.

    Distances are in units of the mean distance D between two archetypes, so they have no scale.

    Parameters
    ----------
    names
        Of the archetypes, k.
    archetypes
        Of the fit, shape (k, d).
    matched
        Of the draws, in the same order (:func:`match`), shape (R, k, d).

    Returns
    -------
    One row per archetype: ``archetype``; ``spread``, the root mean squared distance of the draws to the fit over D;
    ``spread_high``, the 95 % quantile of the distance over D; ``nearest``, the distance to the nearest other
    archetype over D; ``found_again``, the share of draws less than half of that distance away; ``n_draws``;
    ``verdict``: ``"stable"`` where it is found again in 90 % of the draws, else ``"unstable"``.

    Examples
    --------
    >>> corners = np.array([[0.0, 0.0], [2.0, 0.0]])
    >>> table = spread(["a", "b"], corners, np.array([corners, corners + [[0.0, 0.0], [0.0, 1.5]]]))
    >>> table["found_again"].tolist(), table["verdict"].tolist()
    ([1.0, 0.5], ['stable', 'unstable'])
    """
    archetypes = np.asarray(archetypes, dtype=np.float64)
    between = cdist(archetypes, archetypes)
    k = len(archetypes)
    unit = between.sum() / (k * (k - 1)) if k > 1 else 0.0
    unit = unit if unit > 0 else 1.0
    nearest = (between + np.diag(np.full(k, np.inf))).min(axis=1)
    moved = np.linalg.norm(matched - archetypes, axis=2)
    again = (moved < HALFWAY * nearest).mean(axis=0)
    return pd.DataFrame(
        {
            "archetype": np.array(names, dtype=object),
            "spread": np.sqrt((moved**2).mean(axis=0)) / unit,
            "spread_high": np.quantile(moved, 0.95, axis=0) / unit,
            "nearest": nearest / unit,
            "found_again": again,
            "n_draws": len(matched),
            "verdict": np.where(again >= HOLDS, "stable", "unstable").astype(object),
        }
    )
