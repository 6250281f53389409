"""``XᵀX`` of one block of cells, added in place: a sparse product when few values are stored, BLAS when not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import blas

from pathwayae.core.threads import threads

# What one multiplication of the sparse product costs, in multiplications of a dense one (dsyrk, one thread; a dense
# product does g² / 2 per cell, a sparse one nnz² / 2). Measured by benchmarks/gram.py, table in benchmarks/gram.md.
# A constant, not timed at run time, so that the same data give the same digits on every machine.
SPARSE_COST = 16.0
STORED = 2**18  # values of a sparse block that are multiplied at a time: they stay in the cache
RANGES = 8  # of genes per thread, so that no thread waits long for the others

Block = Any  # numpy array or scipy CSR, cells × genes


def prefers_sparse(block: Block) -> bool:
    """Whether the sparse product of this block is the cheaper one: ``SPARSE_COST · Σ nnz² < n g²`` over its cells."""
    if not sp.issparse(block):
        return False
    stored = np.diff(block.indptr).astype(np.float64)
    return bool(SPARSE_COST * (stored @ stored) < float(block.shape[0]) * block.shape[1] ** 2)


def add_gram(gram: NDArray[np.float64], block: Block, *, rows: int) -> None:
    """Add ``blockᵀ block`` to the lower triangle of ``gram``; what happens above it is left open.

    Parameters
    ----------
    gram
        Float64, C-contiguous, shape (g, g); changed in place. Call
        :func:`pathwayae.core.moments.gram_passes.mirror` after the last block.
    block
        Dense, or CSR without duplicates, of any number type, shape (n, g).
    rows
        At most this many cells are made dense at a time.

    Examples
    --------
    >>> gram = np.zeros((2, 2))
    >>> add_gram(gram, np.array([[1.0, 2.0], [0.0, 3.0]]), rows=10)
    >>> np.tril(gram)
    array([[ 1.,  0.],
           [ 2., 13.]])
    """
    if prefers_sparse(block):
        per_cell = max(1, block.nnz // max(1, block.shape[0]))
        for part in _parts(block, max(1, STORED // per_cell)):
            _add_sparse(gram, part)
        return
    for part in _parts(block, rows):
        dense = np.ascontiguousarray(part.toarray() if sp.issparse(part) else part, dtype=np.float64)
        # Both views below are Fortran-contiguous, so nothing is copied; the upper triangle of gram.T is the lower of
        # gram.
        blas.dsyrk(1.0, dense.T, beta=1.0, c=gram.T, overwrite_c=True, lower=False)


def _parts(block: Block, rows: int) -> list[Block]:
    if block.shape[0] <= rows:
        return [block]
    return [block[first : first + rows] for first in range(0, block.shape[0], rows)]


def _add_sparse(gram: NDArray[np.float64], block: Block) -> None:
    """One row of the result after the other, gene by gene: each is added up by one thread in the order of the cells."""
    if not block.has_sorted_indices:
        block = block.tocsc().tocsr()  # cheaper than a sort
    values = block.data.astype(np.float64, copy=False)
    where = sp.csr_array((np.arange(block.nnz), block.indices, block.indptr), shape=block.shape).tocsc()
    first = block.indptr[where.indices]
    cuts = np.linspace(0, len(gram), 1 + RANGES * threads()).astype(np.int64)

    def some(start: int, stop: int) -> None:
        _rows(gram, start, stop, where.indptr, where.data, first, block.indices, values)

    if threads() == 1:
        some(0, len(gram))
        return
    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(some, cuts[:-1], cuts[1:]))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _rows(  # type: ignore[no-untyped-def]  # noqa: ANN202
    gram: Any, start: Any, stop: Any, bounds: Any, where: Any, first: Any, genes: Any, values: Any
):
    """Rows ``start:stop`` of the lower triangle.

    ``where[bounds[i]:bounds[i + 1]]`` are the places of gene i among the stored values, and ``first`` the places where
    the rows of these cells begin; within a row the genes increase, so that the place itself ends the lower triangle.
    """
    for i in range(start, stop):
        row = gram[i]
        for p in range(bounds[i], bounds[i + 1]):
            last = np.uint64(where[p])
            value = values[last]
            for q in range(np.uint64(first[p]), last + np.uint64(1)):
                row[np.uint64(genes[q])] += value * values[q]  # unsigned: no test for negative indices
