"""Cells compared one by one: how well a score tells two groups, and tests that take cells as replicates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pathwayae.core.contrasts.linear import Estimate, tested
from pathwayae.core.contrasts.units import chunks, dense

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def auroc(values: Any, own: Ints, other: Ints) -> tuple[Floats, Floats]:
    r"""Area under the ROC curve, and the z of Mann and Whitney's test (1947), with corrections for ties and continuity.

    The area is how often a cell of the group is above one of the others, ties half. With U that share of all pairs,
    :math:`\mathrm{var}(U) = \frac{n m}{N (N - 1)} \sum_i (r_i - \bar r)^2` over the ranks of all N cells.

    Parameters
    ----------
    values
        Cells × k, dense or sparse.
    own, other
        Cells of the group and those it is compared with.

    Returns
    -------
    Both of shape (k,); z is NaN where all cells are tied.

    Examples
    --------
    >>> auroc(np.array([[3.0], [2.0], [1.0]]), np.array([0, 1]), np.array([2]))[0]
    array([1.])
    """
    n, m = len(own), len(other)
    area, z = np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    both = np.concatenate([own, other])
    for some in chunks(len(area)):
        ranks = stats.rankdata(dense(values, some, both), axis=0) - (n + m + 1) / 2.0
        above = ranks[:n].sum(axis=0)
        area[some] = above / (n * m) + 0.5
        deviation = np.sqrt(n * m * (ranks**2).sum(axis=0) / ((n + m) * (n + m - 1.0)))
        reach = np.sign(above) * np.maximum(np.abs(above) - 0.5, 0.0)
        z[some] = np.divide(reach, deviation, out=np.full_like(reach, np.nan), where=deviation > 0)
    return area, z


def of_cells(values: Any, own: Ints, other: Ints, deviation: Floats, z: Floats | None) -> Estimate:
    """Welch's t-test of every column, or with the z of :func:`auroc` the rank-sum test.

    Effects are differences of means over `deviation`, intervals Welch's, also beside the ranks.

    Parameters
    ----------
    own, other
        Two cells or more each.
    deviation
        Shape (k,).
    """
    moments = []
    for rows in (own, other):
        parts = [dense(values, some, rows) for some in chunks(values.shape[1])]
        mean = np.concatenate([part.mean(axis=0) for part in parts]) / deviation
        variance = np.concatenate([part.var(axis=0, ddof=1) for part in parts]) / deviation**2
        moments.append((mean, variance / len(rows), len(rows) - 1.0))
    (mean, first, df), (mean_other, second, df_other) = moments
    total = first + second
    welch = tested(mean - mean_other, np.sqrt(total), total**2 / (first**2 / df + second**2 / df_other), np.ones(1))
    weights = np.array([1.0, -1.0])
    if z is None:
        return welch._replace(weights=weights)
    return welch._replace(statistic=z, df=np.full_like(z, np.nan), pval=2.0 * stats.norm.sf(np.abs(z)), weights=weights)
