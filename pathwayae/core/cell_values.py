"""What values look like cell by cell, so that other cells can be held against them: level, total, sign."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

QUANTILES = np.linspace(0.0, 1.0, 201)
LARGEST = 50.0  # above it a value is no logarithm, and expm1 would leave the range of numbers


class Described(NamedTuple):
    """Per cell, shape (n,): mean of its positive values among some genes, and totals of expm1 over all and over these.

    ``level`` is NaN where no value is positive; ``smallest`` is of all cells.
    """

    level: NDArray[np.float64]
    total: NDArray[np.float64]
    inside: NDArray[np.float64]
    smallest: float


def describe(matrix: Any, genes: NDArray[Any] | None = None) -> Described:
    """Describe cells by values that name their scale and depend on few genes.

    Parameters
    ----------
    matrix
        Cells × genes, numpy array or CSR.
    genes
        Columns that the level is taken of, indices; by default all.

    Examples
    --------
    >>> describe(np.log1p([[0.0, 3.0, 1.0]])).total
    array([4.])
    """
    stored = matrix.data if sp.issparse(matrix) else np.asarray(matrix)
    counts = np.expm1(np.clip(stored, None, LARGEST), dtype=np.float64)
    if sp.issparse(matrix):
        total = _of_rows(matrix, counts)
        chosen = np.ones(matrix.shape[1], dtype=bool)
        if genes is not None:
            chosen[:] = False
            chosen[genes] = True
        among = chosen[matrix.indices]
        inside = _of_rows(matrix, np.where(among, counts, 0.0))
        positive = (stored > 0) & among
        sums = _of_rows(matrix, np.where(positive, stored, 0.0))
        number = _of_rows(matrix, positive.astype(np.float64))
    else:
        total = counts.sum(axis=1)
        inside = total if genes is None else counts[:, genes].sum(axis=1)
        some = stored if genes is None else stored[:, genes]
        sums = np.where(some > 0, some, 0.0).sum(axis=1, dtype=np.float64)
        number = (some > 0).sum(axis=1).astype(np.float64)
    level = np.divide(sums, number, out=np.full(len(sums), np.nan), where=number > 0)
    return Described(level, total, inside, float(stored.min()) if stored.size else 0.0)


def quantiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles of the finite values at ``QUANTILES``; NaN where there are none."""
    finite = values[np.isfinite(values)]
    return np.quantile(finite, QUANTILES) if len(finite) else np.full(len(QUANTILES), np.nan)


def rank(values: NDArray[np.float64], stored: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of a distribution below each value, from its quantiles at ``QUANTILES``; 0 and 1 outside its range.

    Examples
    --------
    >>> rank(np.array([-1.0, 0.5, 3.0]), quantiles(np.array([0.0, 1.0, 2.0])))
    array([0.  , 0.25, 1.  ])
    """
    return np.interp(values, stored, QUANTILES, left=0.0, right=1.0)


def _of_rows(matrix: Any, values: NDArray[Any]) -> NDArray[np.float64]:
    """Sums of values that lie as those of a CSR matrix, per row."""
    rows = sp.csr_array((values, matrix.indices, matrix.indptr), shape=matrix.shape)
    return np.asarray(rows.sum(axis=1, dtype=np.float64)).ravel()
