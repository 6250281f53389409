"""Batch effects estimated beside covariates: least squares of each gene on indicators, from sums of their levels.

An additive model needs no stratum for every pair of batch and level: how many cells two levels share, and the sum of
each gene over the cells of every level, are its normal equations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.moments.moments import Floats

NOTHING = 1e-10  # eigenvalue of the design, with a diagonal of 1, below which nothing tells its levels apart
ALIKE = 1e-6


def indicator(levels: NDArray[np.intp], n_levels: int) -> sp.csr_matrix:
    """Levels × cells, 1 where a cell is of a level.

    Parameters
    ----------
    levels
        Level of each cell in one factor, shape (n,), or in f of them, shape (f, n); levels count from 0 through all
        factors.
    n_levels
        Number of levels q of all factors together.
    """
    levels = np.atleast_2d(levels)
    f, n = levels.shape
    return sp.csr_matrix((np.ones(f * n), (levels.ravel(), np.tile(np.arange(n), f))), shape=(n_levels, n))


def cells_shared(levels: NDArray[np.intp], n_levels: int, weights: Floats | None = None) -> Floats:
    """Number of cells that are of two levels at once, shape (q, q): the matrix ``DᵀD`` of the normal equations.

    Examples
    --------
    >>> cells_shared(np.array([[0, 0, 1], [2, 3, 3]]), 4)
    array([[2., 0., 1., 1.],
           [0., 1., 0., 1.],
           [1., 0., 1., 0.],
           [1., 1., 0., 2.]])
    """
    member = indicator(levels, n_levels)
    weighted = member if weights is None else member.multiply(weights[None, :])
    return np.asarray((weighted @ member.T).toarray(), dtype=np.float64)


def adjusted_means(shared: Floats, sums: Floats, n_batches: int) -> Floats:
    r"""Mean of each gene in each batch, at the composition of all cells.

    Of the least squares of ``x`` on a constant for the batch and one for the level of every covariate, with the effects
    of the batches adding up to nothing over all cells: :math:`\mu + \beta_b`.

    Parameters
    ----------
    shared
        From :func:`cells_shared`, the batches being the first levels, shape (q, q).
    sums
        Sum of each gene over the cells of each level, shape (q, g).
    n_batches
        Number of batches b.

    Returns
    -------
    Shape (b, g). Without covariates, the means of the batches. Only where :func:`comparable` finds one group.

    Examples
    --------
    Two cells of type A and one of B in the first batch, one and two in the second; B is 3 above A, the second batch 1
    above the first:

    >>> levels = np.array([[0, 0, 0, 1, 1, 1], [2, 2, 3, 2, 3, 3]])
    >>> x = np.array([[0.0], [0.0], [3.0], [1.0], [4.0], [4.0]])
    >>> adjusted_means(cells_shared(levels, 4), indicator(levels, 4) @ x, 2).ravel()
    array([1.5, 2.5])
    """
    counts = np.diagonal(shared)[:n_batches]
    effects = _inverse(shared)[:n_batches] @ sums
    mean = (sums[:n_batches].sum(axis=0) - counts @ effects) / counts.sum()
    return effects + mean


def comparable(shared: Floats, n_batches: int) -> NDArray[np.intp]:
    """Group of each batch, shape (b,): only differences within a group can be told from those of the covariates."""
    values, vectors, root = _eigen(shared)
    free = (vectors[:, values <= NOTHING] / root[:, None])[:n_batches]
    groups = np.full(n_batches, -1, dtype=np.intp)
    limit = ALIKE * float(np.abs(free).max(initial=0.0))
    for b in range(n_batches):
        if groups[b] < 0:
            same = (np.abs(free - free[b]) <= limit).all(axis=1) & (groups < 0)
            groups[same] = groups.max() + 1
    return groups


def effective_cells(shared: Floats, n_batches: int) -> Floats:
    """Number of cells whose plain mean would be as sure as the adjusted one of each batch, shape (b,).

    Without covariates the cells of the batch; few where a batch hardly shares a level with others.
    """
    counts = np.diagonal(shared)[:n_batches]
    n = counts.sum()
    inverse = _inverse(shared)[:n_batches, :n_batches]
    middle = inverse @ counts / n
    spread = np.diagonal(inverse) - 2.0 * middle + counts @ middle / n
    found: Floats = 1.0 / (np.maximum(spread, 0.0) + 1.0 / n)
    return found


def _inverse(shared: Floats) -> Floats:
    """Pseudo-inverse; differences between batches that can be told are the same for any."""
    values, vectors, root = _eigen(shared)
    kept = values > NOTHING
    half = vectors[:, kept] / root[:, None]
    return (half / values[kept]) @ half.T


def _eigen(shared: Floats) -> tuple[Floats, Floats, Any]:
    """Eigenvalues and vectors with a diagonal of 1, and the root of the diagonal."""
    root = np.sqrt(np.diagonal(shared))
    values, vectors = np.linalg.eigh(shared / root / root[:, None])
    return values, vectors, root
