"""How many archetypes: explained variance and its knee, an information criterion, and how many hold in other cells.

fits of several k → table → recommended k and why
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

USED = 1e-6  # a weight below it is no part of a cell
COLUMNS = ("n_archetypes", "explained_variance", "gap", "bic", "n_stable", "spread", "knee", "lowest_bic", "chosen")
"""Columns of the table of a selection."""


def degrees_of_freedom(weights: NDArray[Any], n_features: int) -> float:
    """Parameters that a fit spends: ``Σ_i (|support of cell i| − 1) + k d``.

    A fitted cell is the projection of the cell onto the polytope of the archetypes, and the degrees of freedom of a
    projection onto a polytope are the dimension of the face that it falls on (Meyer and Woodroofe 2000,
    10.1214/aos/1015956708, after Stein 1981, 10.1214/aos/1176345632): a cell at a corner spends none.

    Parameters
    ----------
    weights
        Cells × archetypes, shape (n, k).
    n_features
        d.

    Examples
    --------
    >>> degrees_of_freedom(np.array([[1.0, 0.0], [0.5, 0.5]]), 3)
    7.0
    """
    faces = np.count_nonzero(weights > USED, axis=1) - 1
    return float(np.maximum(faces, 0).sum() + weights.shape[1] * n_features)


def bic(residual: float, total: float, weights: NDArray[Any], n_features: int) -> float:
    """Information criterion of Schwarz (1978), 10.1214/aos/1176344136: ``n d ln(RSS / (n d)) + ln(n) · df``.

    For normal residuals of one variance; df is :func:`degrees_of_freedom`. The lower the better. Where residuals are
    larger in some features than in others, as on real cells, it keeps falling with k; then it says little.

    Parameters
    ----------
    residual, total
        Sums of squares: of the residuals, and of the cells about their mean. A fit without residuals counts as one
        that leaves 1e-12 of the total.
    weights
        Shape (n, k).
    n_features
        d.

    Examples
    --------
    >>> weights = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    >>> float(round(bic(3.0, 9.0, weights, 1) - 3 * np.log(3.0), 6))  # RSS / (n d) is 1 and df is 3, of ln(3) each
    0.0
    """
    n = len(weights)
    per_value = max(residual, 1e-12 * total) / (n * n_features)
    return float(n * n_features * np.log(per_value) + np.log(n) * degrees_of_freedom(weights, n_features))


def knee(n_archetypes: ArrayLike, explained: ArrayLike) -> int:
    """The k whose explained variance lies furthest above the straight line from the smallest k to the largest.

    The rule of Satopää et al. (2011), 10.1109/ICDCSW.2011.20, without smoothing. It depends on the numbers tried, and
    where there are three or more their first and last cannot be the knee, so numbers below and above belong to it.

    Parameters
    ----------
    n_archetypes
        Numbers tried, rising.
    explained
        Explained variance of each.

    Examples
    --------
    >>> knee([2, 3, 4, 5, 6], [0.4, 0.7, 0.95, 0.96, 0.97])
    4
    """
    k, ev = np.asarray(n_archetypes, dtype=np.float64), np.asarray(explained, dtype=np.float64)
    if len(k) < 3:
        return int(k[0])
    above = ev - ev[0] - (ev[-1] - ev[0]) * (k - k[0]) / (k[-1] - k[0])
    return int(k[1 + np.argmax(above[1:-1])])


def table(
    n_archetypes: Sequence[int],
    explained: ArrayLike,
    gaps: ArrayLike,
    criterion: ArrayLike,
    stability: Sequence[tuple[int, float]] | None = None,
) -> tuple[pd.DataFrame, str]:
    """What is known of each k, and one line on which to take.

    Parameters
    ----------
    n_archetypes
        Numbers tried, rising.
    explained, gaps, criterion
        Of each fit.
    stability
        Number of stable archetypes and mean spread of each fit (:func:`pathwayae.core.archetypes.bootstrap.spread`), or
        None without draws.

    Returns
    -------
    Table with the columns ``COLUMNS``, and the reason. With draws, the largest k of which every archetype is stable
    is chosen, as one too many has no place of its own and wanders; where there is none, or no draws, the knee.

    Examples
    --------
    >>> found, reason = table([2, 3, 4], [0.5, 0.9, 0.91], [0, 0, 0], [3, 1, 2], [(2, 0.1), (3, 0.1), (3, 0.4)])
    >>> reason
    '3: the largest number of archetypes that are all stable; the knee and the lowest BIC say the same'
    """
    k = np.asarray(n_archetypes, dtype=np.int64)
    bend, best = knee(k, explained), int(k[np.argmin(criterion)])
    held = np.array([np.nan] * len(k) if stability is None else [n for n, _ in stability], dtype=np.float64)
    whole = k[held == k]
    chosen = int(whole[-1]) if len(whole) else bend
    found = pd.DataFrame(
        {
            "n_archetypes": k,
            "explained_variance": np.asarray(explained, dtype=np.float64),
            "gap": np.asarray(gaps, dtype=np.float64),
            "bic": np.asarray(criterion, dtype=np.float64),
            "n_stable": held,
            "spread": np.array([np.nan] * len(k) if stability is None else [s for _, s in stability]),
            "knee": k == bend,
            "lowest_bic": k == best,
            "chosen": k == chosen,
        }
    )
    return found[list(COLUMNS)], _reason(chosen, bend, best, drawn=stability is not None, whole=bool(len(whole)))


def _reason(chosen: int, bend: int, best: int, *, drawn: bool, whole: bool) -> str:
    others = {"the knee": bend, "the lowest BIC": best}
    if whole:
        why = "the largest number of archetypes that are all stable"
    else:
        why = "the knee of the explained variance" + ("; no number has only stable archetypes" if drawn else "")
        others.pop("the knee")
    same = [name for name, k in others.items() if k == chosen]
    differ = [f"{name} says {k}" for name, k in others.items() if k != chosen]
    if same:
        differ = [" and ".join(same) + (" say" if len(same) > 1 else " says") + " the same", *differ]
    return f"{chosen}: {why}; {', '.join(differ)}"
