"""Compiled loops over cells: the stored values of a cell times the weights of their genes.

Threads share the cells; each is added up by one of them in the order of its values.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.threads import share

Floats = NDArray[np.float64]


def cells_times(cells: sp.csr_array, weights: Any) -> Floats:
    """``cells @ weights``, dense, shape (n, k); few products are made where both are sparse.

    Parameters
    ----------
    cells
        CSR of any number type, shape (n, g).
    weights
        Dense or CSR, float64, shape (g, k).

    Examples
    --------
    >>> cells_times(sp.csr_array(np.array([[0.0, 2.0]])), np.array([[1.0], [3.0]]))
    array([[6.]])
    """
    result = np.zeros((cells.shape[0], weights.shape[1]))
    stored = (cells.indptr, cells.indices, cells.data)
    if sp.issparse(weights):
        rows = (weights.indptr, weights.indices, weights.data)
        size = cells.nnz * max(1.0, weights.nnz / max(1, weights.shape[0]))
        share(lambda first, last: _sparse(first, last, *stored, *rows, result), len(result), size)
    else:
        dense = np.ascontiguousarray(weights)
        share(lambda first, last: _dense(first, last, *stored, dense, result), len(result), cells.nnz * dense.shape[1])
    return result


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _sparse(  # type: ignore[no-untyped-def]  # noqa: ANN202
    start: Any, stop: Any, cells: Any, genes: Any, values: Any, bounds: Any, components: Any, weights: Any, result: Any
):
    """Cells ``start:stop`` with sparse weights."""
    for i in range(start, stop):
        row = result[i]
        for p in range(cells[i], cells[i + 1]):
            value, gene = np.float64(values[p]), genes[p]
            for q in range(bounds[gene], bounds[gene + 1]):
                row[components[q]] += value * weights[q]


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _dense(  # type: ignore[no-untyped-def]  # noqa: ANN202
    start: Any, stop: Any, cells: Any, genes: Any, values: Any, weights: Any, result: Any
):
    """Cells ``start:stop`` with dense weights."""
    for i in range(start, stop):
        row = result[i]
        for p in range(cells[i], cells[i + 1]):
            value, own = np.float64(values[p]), weights[genes[p]]
            for q in range(len(row)):
                row[q] += value * own[q]
