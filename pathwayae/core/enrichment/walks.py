"""Enrichment scores: of one set, and of random sets of every size for all components at once."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def walk(hits: NDArray[np.intp], weights: Floats) -> tuple[float, int]:
    r"""Enrichment score of a set (Subramanian and others 2005) and the hit at which its running sum is furthest from 0.

    With hits at ranks :math:`r_0 < r_1 < \ldots` and weights w, the running sum is
    :math:`\sum_{j \le i} w_{r_j} / \sum_j w_{r_j} - (r_i - i) / (G - m)` after hit i, and less its weight before. The
    score is the value furthest from 0.

    Parameters
    ----------
    hits
        Ranks of the genes of the set, ascending, shape (m,), fewer than all.
    weights
        Absolute loadings by rank, shape (G,).

    Returns
    -------
    score
        From −1 to 1; NaN where no gene of the set has a weight.
    peak
        The leading edge is the hits up to and with this one for a score above 0, and from it on for one below.
    """
    m, total = len(hits), 0.0
    for i in range(m):
        total += weights[hits[i]]
    if total <= 0.0:
        return np.nan, 0
    step = 1.0 / (len(weights) - m)
    high, low, top, bottom, done = -1.0, 1.0, 0, 0, 0.0
    for i in range(m):
        missed = (hits[i] - i) * step
        before = done / total - missed
        done += weights[hits[i]]
        after = done / total - missed
        if before < low:
            low, bottom = before, i
        if after > high:
            high, top = after, i
    return (high, top) if high >= -low else (low, bottom)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def random_walks(
    weights: Floats, sizes: NDArray[np.intp], draws: NDArray[np.intp], scores: NDArray[np.float32]
) -> None:
    """Enrichment scores of random sets; the first m genes of a draw are the random set of size m.

    Parameters
    ----------
    weights
        Components × ranks.
    sizes
        Sizes of sets, ascending.
    draws
        Draws × largest size: ranks, none twice in a row.
    scores
        Components × sizes × draws, filled.
    """
    n_genes = weights.shape[1]
    for b in range(len(draws)):
        inside = np.zeros(n_genes, dtype=np.bool_)
        done = 0
        for s in range(len(sizes)):
            for i in range(done, sizes[s]):
                inside[draws[b, i]] = True
            done = sizes[s]
            hits = np.flatnonzero(inside)
            for j in range(len(weights)):
                scores[j, s, b] = walk(hits, weights[j])[0]
