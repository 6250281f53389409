"""Genes that lie far from 0: sums of squares would lose their digits, so something is taken off before."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

FAR = 1e4  # standard deviations of a gene between its mean and 0
SEEN = 1000  # cells that tell


def far_from_zero(values: Any, *, constants: bool = False) -> NDArray[np.float64] | None:
    """What to take off every gene so that sums of squares keep their digits; None where they do without.

    A gene whose mean is ``FAR`` times its standard deviation loses twice as many digits to the square of the mean.

    Parameters
    ----------
    values
        Some cells × genes, dense or CSR.
    constants
        Whether genes that do not vary in these cells count, which may vary in others.

    Returns
    -------
    Means of such genes in these cells, 0 of the others, shape (g,).

    Examples
    --------
    >>> far_from_zero(np.array([[1e6, 1.0], [1e6 + 1.0, 0.0]]))
    array([1000000.5,       0. ])
    """
    if sp.issparse(values) and 2 * values.nnz < values.shape[0] * values.shape[1]:
        return None  # a gene with many zeros lies near them
    dense = np.asarray(values.toarray() if sp.issparse(values) else values, dtype=np.float64)
    mean, deviation = dense.mean(axis=0), dense.std(axis=0)
    far = (np.abs(mean) > FAR * deviation) & ((deviation > 0) | constants)
    return np.where(far, mean, 0.0) if far.any() else None


def near_zero(matrix: Any) -> tuple[Any, NDArray[np.float64] | float]:
    """A matrix whose genes lie near 0, and what was taken off each: the matrix itself and 0 where none lies far."""
    if sp.issparse(matrix):
        return matrix, 0.0
    dense = np.asarray(matrix)
    shift = far_from_zero(dense[:SEEN], constants=True)
    return (matrix, 0.0) if shift is None else (dense - shift, shift)
