"""Cells summed up to what is compared: means of one sample in one group, within one stratum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

CHUNK = 64  # columns that are dense at a time
REST = -1  # the reference: all other groups
FLAT = 1e-6  # a spread below this share of the values is the rounding of float32


@dataclass(frozen=True, eq=False)
class Units:
    """Cells of one sample in one group of one stratum, u of them.

    Attributes
    ----------
    stratum, sample, group
        Shape (u,).
    count
        Number of cells, shape (u,).
    mean, squares
        Mean of every column over the cells of a unit, and sum of squares about it, shape (u, k).
    largest
        Largest absolute value of every column, shape (k,).
    of_cell
        Unit of each cell, −1 for cells of none, shape (n,).
    """

    stratum: Ints
    sample: Ints
    group: Ints
    count: Floats
    mean: Floats
    squares: Floats
    largest: Floats
    of_cell: Ints


class Contrast(NamedTuple):
    """A group against another one, or against all others (``REST``), in one stratum."""

    stratum: int
    group: int
    reference: int


class Means(NamedTuple):
    """Means of samples that are compared, those of the group first; N of them.

    Attributes
    ----------
    mix
        Means of samples from means of units, shape (N, u).
    sample
        Shape (N,).
    treated
        Whether a mean is of the group, shape (N,).
    n_cells
        Number of cells, shape (N,).
    paired
        Whether every sample is on both sides and is compared with itself.
    """

    mix: sp.csr_array
    sample: Ints
    treated: NDArray[np.bool_]
    n_cells: Floats
    paired: bool

    @property
    def n_pairs(self) -> int:
        """Samples on both sides."""
        return len(np.intersect1d(self.sample[self.treated], self.sample[~self.treated]))


def dense(values: Any, columns: slice, rows: Any = slice(None)) -> Floats:
    """Some cells and columns of scores, float64."""
    part = values[:, columns][rows]
    return np.asarray(part.toarray() if sp.issparse(part) else part, dtype=np.float64)


def chunks(n_columns: int) -> list[slice]:
    """All columns, some at a time."""
    return [slice(first, min(first + CHUNK, n_columns)) for first in range(0, n_columns, CHUNK)]


def aggregate(values: Any, stratum: Ints, sample: Ints, group: Ints) -> Units:
    """Sum cells up.

    Parameters
    ----------
    values
        Cells × columns, dense or sparse, shape (n, k).
    stratum, sample, group
        Codes from 0 of each cell; −1 in any of them leaves a cell out, shape (n,).

    Examples
    --------
    >>> zero, sample = np.zeros(4, dtype=int), np.array([0, 0, 1, 1])
    >>> aggregate(np.array([[1.0], [3.0], [5.0], [5.0]]), zero, sample, zero).mean.ravel()
    array([2., 5.])
    """
    used = np.flatnonzero((stratum >= 0) & (sample >= 0) & (group >= 0))
    n_samples, n_groups = int(sample.max(initial=0)) + 1, int(group.max(initial=0)) + 1
    found, codes = np.unique((stratum[used] * n_samples + sample[used]) * n_groups + group[used], return_inverse=True)
    strata, samples, groups = found // n_groups // n_samples, found // n_groups % n_samples, found % n_groups
    of_cell = np.full(len(stratum), -1, dtype=np.intp)
    of_cell[used] = codes
    u, k = len(strata), values.shape[1]
    count = np.bincount(codes, minlength=u).astype(np.float64)
    inside = sp.csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(u, len(codes)))
    mean, squares, largest = np.zeros((u, k)), np.zeros((u, k)), np.zeros(k)
    for some in chunks(k):
        block = dense(values, some, used)
        mean[:, some] = (inside @ block) / count[:, None]
        squares[:, some] = inside @ (block - mean[codes, some]) ** 2
        largest[some] = np.abs(block).max(axis=0, initial=0.0)
    return Units(strata, samples, groups, count, mean, squares, largest, of_cell)


def samples_of(units: Units, contrast: Contrast, *, pairs: bool) -> Means:
    """The samples of a contrast, and their means.

    With `pairs`, samples that are on both sides are compared with themselves where they are two or more and at least
    half of all; the others are then left out. Where they are fewer, all samples count as independent.
    """
    here = units.stratum == contrast.stratum
    own = here & (units.group == contrast.group)
    other = here & (units.group != contrast.group if contrast.reference == REST else units.group == contrast.reference)
    both = np.intersect1d(units.sample[own], units.sample[other])
    paired = pairs and len(both) >= 2 and 2 * len(both) >= len(np.unique(units.sample[own | other]))
    if paired:
        own, other = (side & np.isin(units.sample, both) for side in (own, other))
    parts, samples = [], []
    for side in (own, other):
        rows = np.flatnonzero(side)
        names, codes = np.unique(units.sample[rows], return_inverse=True)
        parts.append(sp.csr_array((units.count[rows], (codes.ravel(), rows)), shape=(len(names), len(own))))
        samples.append(names)
    cells = sp.csr_array(sp.vstack(parts))
    count = np.asarray(cells.sum(axis=1)).ravel()
    treated = np.arange(len(count)) < len(samples[0])
    return Means(sp.csr_array(sp.diags_array(1.0 / count) @ cells), np.concatenate(samples), treated, count, paired)


def spread(units: Units, means: Means) -> Floats:
    """Standard deviation of cells about the mean of their side, pooled; 0 where it is rounding; shape (k,)."""
    total = np.zeros(units.mean.shape[1])
    for side in (means.treated, ~means.treated):
        rows = np.unique(means.mix[np.flatnonzero(side)].indices)
        count = units.count[rows]
        middle = count @ units.mean[rows] / count.sum()
        total += units.squares[rows].sum(axis=0) + count @ (units.mean[rows] - middle) ** 2
    deviation = np.sqrt(total / max(means.n_cells.sum() - 2.0, 1.0))
    return np.where(deviation > FLAT * units.largest, deviation, 0.0)


def cells_of(units: Units, means: Means) -> tuple[Ints, Ints]:
    """The cells of the group and those of its reference, of the samples compared."""
    rows = [means.mix[np.flatnonzero(side)].indices for side in (means.treated, ~means.treated)]
    return np.flatnonzero(np.isin(units.of_cell, rows[0])), np.flatnonzero(np.isin(units.of_cell, rows[1]))
