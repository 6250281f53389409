"""Small probabilities of enrichment scores by multilevel splitting, in compiled loops."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from pathwayae.core.enrichment.walks import walk

N_CHAINS = 200
N_MOVES = 40  # proposals per chain and level at least; at most N_MOVES_MOST
N_MOVES_MOST = 100

Floats = NDArray[np.float64]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def tail(weights: Floats, draws: NDArray[np.intp], targets: Floats, smallest: float, rng: np.random.Generator) -> Any:
    r"""Probability that a random set scores as much as each target, by multilevel splitting.

    Korotkevich and others (2021, 10.1101/060012): of the random sets those above a level are kept, which has a known
    share, and multiplied; each then moves by exchanges of one gene that keep it above the level, and the next level is
    the median of where they are. :math:`P(s \ge t)` is the product of the shares up to the last level below t, times
    the share of sets that reach t.

    Parameters
    ----------
    weights
        Absolute loadings by rank, shape (G,).
    draws
        Random sets × m, ranks: sets to start from.
    targets
        Scores above 0, ascending.
    smallest
        Where to stop.

    Returns
    -------
    Shape of the targets; at least `smallest`.
    """
    n, m = draws.shape
    sets = np.empty((n, m), dtype=np.intp)
    scores = np.empty(n)
    for b in range(n):
        sets[b] = np.sort(draws[b])
        scores[b] = _score(sets[b], weights)
    found = np.full(len(targets), smallest)
    reached, next_one = 1.0, 0
    keep = min(N_CHAINS // 2, n // 2)
    while next_one < len(targets) and reached > smallest:
        level = np.sort(scores)[len(scores) - 1 - keep]
        above = np.flatnonzero(scores > level)
        while next_one < len(targets) and (targets[next_one] <= level or len(above) == 0):
            share = max((scores >= targets[next_one]).mean(), 1.0 / (len(scores) + 1.0))
            found[next_one] = max(reached * share, smallest)
            next_one += 1
        if next_one == len(targets):
            break
        reached *= len(above) / len(scores)
        parents = above[np.arange(N_CHAINS) % len(above)]
        sets, scores = sets[parents].copy(), scores[parents].copy()
        _move(sets, scores, weights, level, rng)
        keep = N_CHAINS // 2
    return found


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _score(hits: NDArray[np.intp], weights: Floats) -> float:
    """Score of a set; below all others where none of its genes has a loading."""
    score = walk(hits, weights)[0]
    return -2.0 if np.isnan(score) else score


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _move(sets: NDArray[np.intp], scores: Floats, weights: Floats, level: float, rng: np.random.Generator) -> None:
    """Exchange genes of every set with genes outside it, as long as it stays above the level."""
    n, m = sets.shape
    new = np.empty(m, dtype=np.intp)
    for b in range(n):
        for _ in range(min(max(m, N_MOVES), N_MOVES_MOST)):
            gone, gene = int(rng.random() * m), int(rng.random() * len(weights))
            place = np.searchsorted(sets[b], gene)
            if place < m and sets[b, place] == gene:
                continue
            new[:] = sets[b]
            if place > gone:
                new[gone : place - 1] = sets[b, gone + 1 : place]
                new[place - 1] = gene
            else:
                new[place + 1 : gone + 1] = sets[b, place:gone]
                new[place] = gene
            score = _score(new, weights)
            if score > level:
                sets[b] = new
                scores[b] = score
