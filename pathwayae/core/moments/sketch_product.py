"""``XᵀX Ω`` of one block of cells, added in place: compiled loops when few values are stored, BLAS when not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.threads import threads

# What one multiplication of the sparse product costs, in multiplications of a dense one, and the values of a block that
# are multiplied at a time, so that their scores stay in the cache.
SPARSE_COST = 4.0
STORED = 2**19

Block = Any  # numpy array or scipy CSR, cells × genes
Floats = NDArray[np.float64]


def add_product(products: Floats, block: Block, directions: Floats, *, rows: int) -> None:
    """Add ``blockᵀ (block Ω)`` to ``products``.

    Parameters
    ----------
    products
        Float64, C-contiguous, shape (g, m); changed in place.
    block
        Dense, or CSR without duplicates, of any number type, shape (n, g).
    directions
        Ω, float64, C-contiguous, shape (g, m).
    rows
        At most this many cells are made dense at a time.

    Examples
    --------
    >>> products = np.zeros((2, 1))
    >>> add_product(products, np.array([[1.0, 2.0], [0.0, 3.0]]), np.array([[1.0], [1.0]]), rows=10)
    >>> products.ravel()
    array([ 3., 15.])
    """
    n, g = block.shape
    if sp.issparse(block) and SPARSE_COST * block.nnz < n * g:
        per_cell = max(1, block.nnz // max(1, n))
        step = max(1, STORED // per_cell)
        for first in range(0, n, step):
            _add_sparse(products, block[first : first + step], directions)
        return
    for first in range(0, n, rows):
        part = block[first : first + rows]
        dense = np.asarray(part.toarray() if sp.issparse(part) else part, dtype=np.float64)
        products += dense.T @ (dense @ directions)


def _add_sparse(products: Floats, block: Block, directions: Floats) -> None:
    """Every thread takes some of the directions, from the cells to the scores and back: none waits for another."""
    columns = block.tocsc()
    values = columns.data.astype(np.float64, copy=False)
    m = directions.shape[1]
    cuts = np.linspace(0, m, 1 + min(threads(), m)).astype(np.int64)

    def some(first: int, last: int) -> None:
        scores = np.zeros((block.shape[0], last - first))
        _columns(products, directions, scores, columns.indptr, columns.indices, values, first, last)

    if len(cuts) == 2:
        some(0, m)
        return
    with ThreadPoolExecutor(len(cuts) - 1) as pool:
        list(pool.map(some, cuts[:-1].tolist(), cuts[1:].tolist()))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _columns(  # type: ignore[no-untyped-def]  # noqa: ANN202
    products: Any, directions: Any, scores: Any, bounds: Any, cells: Any, values: Any, first: Any, last: Any
):
    """Columns ``first:last`` of the product, gene by gene: a row of Ω and of the product is fetched once."""
    width = last - first
    for i in range(len(bounds) - 1):
        row = directions[i, first:last]
        for p in range(bounds[i], bounds[i + 1]):
            score, value = scores[cells[p]], values[p]
            for q in range(width):
                score[q] += value * row[q]
    for i in range(len(bounds) - 1):
        row = products[i, first:last]
        for p in range(bounds[i], bounds[i + 1]):
            score, value = scores[cells[p]], values[p]
            for q in range(width):
                row[q] += value * score[q]
