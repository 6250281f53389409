"""Groups of cells compared: the share of variance between them, and the rank test of one against all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]


def squares(values: Any, codes: NDArray[np.intp], n_groups: int) -> tuple[Floats, Floats]:
    """Sums of squares between groups and about the mean, of every column.

    Parameters
    ----------
    values
        Cells × k, dense or sparse.
    codes
        Group of each cell, from 0, each with a cell, shape (n,).

    Returns
    -------
    Both of shape (k,).
    """
    n = len(codes)
    count = np.bincount(codes, minlength=n_groups).astype(np.float64)
    member = sp.csr_matrix((np.ones(n), (codes, np.arange(n))), shape=(n_groups, n))
    sums = member @ values
    mean = np.asarray(sums.todense() if sp.issparse(sums) else sums) / count[:, None]
    middle = count @ mean / n
    if sp.issparse(values):
        total = np.asarray(values.multiply(values).sum(axis=0)).ravel() - n * middle**2
    else:
        total = np.square(values - middle).sum(axis=0)
    return count @ (mean - middle) ** 2, np.maximum(total, 0.0)


def share(between: Floats, total: Floats) -> Floats:
    """Share of the variance that lies between groups (η²); 0 where there is no variance.

    Examples
    --------
    >>> share(*squares(np.array([[0.0], [0.0], [2.0], [2.0]]), np.array([0, 0, 1, 1]), 2))
    array([1.])
    """
    return np.divide(between, total, out=np.zeros_like(total), where=total > 0)


def mann_whitney(rank_sum: Any, inside: Any, n: int, ties: Any) -> tuple[Floats, Floats]:
    """Area under the ROC curve of groups against all other cells, and the two-sided p-value of Mann and Whitney (1947).

    With R the sum of the ranks of the n₁ cells of a group, ``U = R − n₁(n₁ + 1)/2`` and ``AUROC = U / (n₁ n₂)``. p is
    the normal approximation with correction for ties and continuity; NaN where all ranks are tied. It takes cells as
    independent.

    Parameters
    ----------
    rank_sum
        Sum of the mid-ranks of the cells of the group.
    inside
        Number of these cells, neither none nor all.
    n
        Number of all cells.
    ties
        ``Σ (t³ − t)`` over the runs of t equal values.

    Returns
    -------
    AUROC and p-value, of the shape that the arguments broadcast to.

    Examples
    --------
    >>> area, pval = mann_whitney(rank_sum=7.0, inside=2, n=4, ties=0.0)
    >>> float(area)
    1.0
    """
    inside, ties = np.asarray(inside, dtype=np.float64), np.asarray(ties, dtype=np.float64)
    pairs = inside * (n - inside)
    u = np.asarray(rank_sum, dtype=np.float64) - inside * (inside + 1.0) / 2.0
    variance = pairs / 12.0 * ((n + 1.0) - ties / (n * (n - 1.0)))
    varies = variance > 1e-12 * pairs * n
    z = np.maximum(np.abs(u - pairs / 2.0) - 0.5, 0.0) / np.sqrt(np.where(varies, variance, 1.0))
    return u / pairs, np.where(varies, np.minimum(2.0 * norm.sf(z), 1.0), np.nan)
