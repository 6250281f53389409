"""p-values of statistics among random ones, and beyond the most extreme of these from the shape of their tail."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEW = 10  # random values above, below which their count says little
SHARE = 0.1  # of the random values make the tail
ENOUGH = 200  # random values, below which nothing is fitted to their tail
BEYOND = 1000  # times less than one of the random values: further than that no tail is believed

Floats = NDArray[np.float64]


def smallest(n_random: int) -> float:
    """Return the smallest p-value that so many random values can give."""
    return 1.0 / ((n_random + 1.0) * (BEYOND if n_random >= ENOUGH else 1))


def pvalues(observed: Floats, null: Floats, *, tie: float = 0.0) -> Floats:
    r"""Estimate the chance of a random value at least as large, from B random values of each statistic.

    With b of B random values at least as large it is ``(b + 1) / (B + 1)`` (Phipson & Smyth 2010,
    10.2202/1544-6115.1585) for b of ten or more. For fewer, a generalised Pareto distribution is fitted to what the
    largest tenth of them exceed their threshold t by (Knijnenburg et al. 2009, 10.1093/bioinformatics/btp211),

    .. math:: p = \frac{N_t}{B} \left(1 + \xi \frac{x - t}{\sigma}\right)^{-1/\xi},

    by probability-weighted moments (Hosking & Wallis 1987, 10.1080/00401706.1987.10488243). The shape :math:`\xi` is 0
    at least, an exponential tail: a negative one ends somewhere, and its error of estimation makes *p* too small,
    four times at 0.0001; where the true tail is heavy (a shape of 0.2), two times remain there. p is
    ``1 / (1000 (B + 1))`` at least. With fewer than 200 random values, or a tail that is one value again and again,
    counts alone are used.

    Parameters
    ----------
    observed
        Shape (p,).
    null
        Random values, one column for each statistic, shape (B, p), or one for all of them, (B, 1).
    tie
        Random values that are smaller by no more than this count as equal.

    Examples
    --------
    >>> null = np.random.default_rng(0).exponential(size=(1000, 1))
    >>> bool(0.5 < pvalues(np.array([9.0]), null)[0] / np.exp(-9.0) < 2.0)
    True
    >>> pvalues(np.array([2.0, 0.0]), np.array([[0.0, 0.0], [1.0, -1.0], [2.0, 1.0]]))
    array([0.5 , 0.75])
    """
    n_random = len(null)
    above = np.sum(null >= observed - tie, axis=0)
    counted: Floats = (above + 1.0) / (n_random + 1.0)
    n_tail = int(SHARE * n_random)
    rare = np.flatnonzero(above < FEW)
    if n_random < ENOUGH or not len(rare):
        return counted
    columns = null[:, rare] if null.shape[1] > 1 else null
    largest = np.sort(np.partition(columns, n_random - n_tail - 1, axis=0)[n_random - n_tail - 1 :], axis=0)
    threshold, excess = largest[0], largest[1:] - largest[0]
    mean = excess.mean(axis=0)
    weighted = (excess * ((n_tail - 1.0 - np.arange(n_tail)) / (n_tail - 1.0))[:, None]).mean(axis=0)
    fits = (mean > tie) & (mean > 2.0 * weighted) & (largest[-1] > largest[-FEW] + tie)
    mean, spread = np.where(fits, mean, 1.0), np.where(fits, mean - 2.0 * weighted, 0.5)
    shape = np.maximum(2.0 - mean / spread, 0.0)
    scale = np.where(shape > 0, 2.0 * mean * weighted / spread, mean)
    far = np.maximum(observed[rare] - threshold, 0.0) / scale
    heavy = np.where(shape > 0, shape, 1.0)
    beyond = np.where(shape > 0, (1.0 + heavy * far) ** (-1.0 / heavy), np.exp(-far)) * n_tail / n_random
    most = (FEW + 1.0) / (n_random + 1.0)
    counted[rare] = np.where(fits, np.clip(beyond, smallest(n_random), most), counted[rare])
    return counted
