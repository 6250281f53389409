"""Whether batches differ by more than a shift of all cells alike: from scores, without knowing cell types.

Where batches hold kinds of cells in unequal shares, their means differ for that reason too, and centring at them moves
like cells apart. Clusters of like cells, each batch shifted as a whole to lie on the others, show how far.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from pathwayae.core.evidence.basis import leading
from pathwayae.core.moments.design import adjusted_means, cells_shared, comparable, indicator

Floats = NDArray[np.float64]

FAR = 0.1  # standard deviations of a score within batches
LEVEL = 0.01  # chance that batches of one composition are flagged, over all of them and all scores
N_CLUSTERS, N_DIRECTIONS, N_STARTS, N_STEPS = 10, 20, 3, 50
PER_CLUSTER = 50  # cells at the least
N_CELLS, N_VALUES, OF_BATCH = 10_000, 10**7, 50  # looked at: cells, their scores, cells of a batch at the least


class Composition(NamedTuple):
    """How far batches lie from where like cells of all batches do, in s.d. within batches, shape (b, k).

    ``counts`` are the cells of each batch that were looked at, shape (b,); ``groups`` is 0 for all batches (b,) unless
    some have no cells like those of others, with which they cannot be compared.
    """

    off: Floats
    counts: Floats
    groups: NDArray[np.intp]

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Too far, and further than the cells that happen to be in a batch explain, shape (b, k)."""
        size = np.abs(self.off)
        found: NDArray[np.bool_] = (size > FAR) & (
            size * np.sqrt(self.counts)[:, None] > norm.isf(LEVEL / 2 / size.size)
        )
        return found


def composition(scores: NDArray[np.floating], batch: NDArray[np.intp], n_batches: int, *, seed: int) -> Composition:
    """Compare batches whose cells were centred at their own means.

    Ten clusters of cells and one shift per batch are fitted by least squares in the leading directions of the scores,
    cells and parameters in turn, from no shift (k-means with batches as offsets). The batch effect that is left beside
    the clusters is what centring took off, or added, because of what the batches hold. A shift of all cells of a batch
    alike leaves nothing, whatever its size. It does not tell unequal shares from an effect that differs between kinds
    of cells, and kinds that are no clusters of their own it does not see.

    Parameters
    ----------
    scores
        Cells × k.
    batch
        Of each cell, from 0, each with a cell, shape (n,).
    n_batches
        Number of batches b.
    seed
        Of the cells looked at, at most 10 000, and of the starts.
    """
    rng = np.random.default_rng(seed)
    rows = _sample(batch, n_batches, min(N_CELLS, N_VALUES // scores.shape[1]), rng)
    own, codes = np.asarray(scores[rows], dtype=np.float64), batch[rows]
    counts = np.bincount(codes, minlength=n_batches).astype(np.float64)
    own = own - own.mean(axis=0)
    centred = own - (indicator(codes, n_batches) @ own / counts[:, None])[codes]
    spread = centred.std(axis=0)
    n_directions = min(N_DIRECTIONS, *own.shape)
    directions = leading(lambda v: centred.T @ (centred @ v), own.shape[1], n_directions)[1]
    k = min(N_CLUSTERS, max(2, len(rows) // PER_CLUSTER))
    found = [_clusters(centred @ directions, codes, n_batches, k, rng) for _ in range(N_STARTS)]
    cluster = np.unique(min(found, key=lambda one: one[0])[1], return_inverse=True)[1]
    levels = np.array([codes, n_batches + cluster])
    n_levels = n_batches + int(cluster.max()) + 1
    shared = cells_shared(levels, n_levels)
    effects = adjusted_means(shared, indicator(levels, n_levels) @ own, n_batches)
    off = np.divide(effects, spread, out=np.zeros_like(effects), where=spread > 0)
    return Composition(off, counts, comparable(shared, n_batches))


def _sample(batch: NDArray[np.intp], n_batches: int, n_cells: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Cells of every batch, as many of each where there are more than so many in all."""
    most = max(OF_BATCH, n_cells // n_batches)
    if len(batch) <= n_cells:
        return np.arange(len(batch))
    order = rng.permutation(len(batch))
    order = order[np.argsort(batch[order], kind="stable")]
    sizes = np.bincount(batch, minlength=n_batches)
    rank = np.arange(len(batch)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(order[rank < most])


def _clusters(
    cells: Floats, batch: NDArray[np.intp], n_batches: int, k: int, rng: np.random.Generator
) -> tuple[float, NDArray[np.intp]]:
    """Sum of squares about the centre of the cluster and the shift of the batch, and the cluster of each cell."""
    centres, shift = _start(cells, k, rng), np.zeros((n_batches, cells.shape[1]))
    of_batch = indicator(batch, n_batches)
    counts = np.asarray(of_batch.sum(axis=1))
    cluster, error = np.zeros(len(cells), dtype=np.intp), np.inf
    for _ in range(N_STEPS):
        own = cells - shift[batch]
        distance = (centres**2).sum(axis=1) - 2.0 * own @ centres.T
        cluster = distance.argmin(axis=1)
        now = float((own**2).sum() + distance.min(axis=1).sum())
        if now > error * (1.0 - 1e-5):
            break
        error = now
        of_cluster = indicator(cluster, k)
        size = np.asarray(of_cluster.sum(axis=1))
        centres = np.where(size > 0, of_cluster @ own / np.maximum(size, 1.0), centres)
        shift = of_batch @ (cells - centres[cluster]) / counts
    return error, cluster


def _start(cells: Floats, k: int, rng: np.random.Generator) -> Floats:
    """Centres far from each other, drawn as k-means++ does (Arthur and Vassilvitskii 2007)."""
    centres = [cells[rng.integers(len(cells))]]
    distance = ((cells - centres[0]) ** 2).sum(axis=1)
    for _ in range(k - 1):
        weights = distance + 1e-300
        centres.append(cells[rng.choice(len(cells), p=weights / weights.sum())])
        distance = np.minimum(distance, ((cells - centres[-1]) ** 2).sum(axis=1))
    return np.array(centres)
