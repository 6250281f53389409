"""``XᵀX`` of one block of cells, added in place: through BLAS when dense enough, by a sparse product when not."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import blas

# What one multiplication of a sparse product costs, in multiplications of a dense one (dsyrk, one thread; a dense
# product does g² per cell, a sparse one nnz²). Measured by benchmarks/gram.py, whose table is in benchmarks/gram.md.
# A constant, not timed at run time, so that the same data give the same digits on every machine.
SPARSE_COST = 115.0

Block = Any  # numpy array or scipy CSR, cells × genes


def prefers_sparse(block: Block) -> bool:
    """Whether the sparse product of this block is the cheaper one: ``SPARSE_COST · Σ nnz² < n g²`` over its cells."""
    if not sp.issparse(block):
        return False
    stored = np.diff(block.indptr).astype(np.float64)
    return bool(SPARSE_COST * (stored @ stored) < float(block.shape[0]) * block.shape[1] ** 2)


def add_gram(gram: NDArray[np.float64], block: Block, *, rows: int) -> None:
    """Add ``blockᵀ block`` to the lower triangle of ``gram``; what happens above it is left open.

    BLAS computes half of the product. The sparse product computes both halves: leaving one out would cost a sort of
    the indices and saves less.

    Parameters
    ----------
    gram
        Float64, C-contiguous, shape (g, g); changed in place. Call :func:`mirror` after the last block.
    block
        Dense, or CSR without duplicates, of any number type, shape (n, g).
    rows
        At most this many cells are made dense at a time, and this many genes × g of the sparse product.

    Examples
    --------
    >>> gram = np.zeros((2, 2))
    >>> add_gram(gram, np.array([[1.0, 2.0], [0.0, 3.0]]), rows=10)
    >>> mirror(gram)
    >>> gram
    array([[ 1.,  2.],
           [ 2., 13.]])
    """
    if prefers_sparse(block):
        wide = block.astype(np.float64, copy=False)
        genes = wide.T.tocsr()
        for first in range(0, len(gram), rows):
            gram[first : first + rows] += (genes[first : first + rows] @ wide).toarray()
        return
    for first in range(0, block.shape[0], rows):
        part = block[first : first + rows]
        dense = np.ascontiguousarray(part.toarray() if sp.issparse(part) else part, dtype=np.float64)
        # Both views below are Fortran-contiguous, so nothing is copied; the upper triangle of gram.T is the lower of
        # gram.
        blas.dsyrk(1.0, dense.T, beta=1.0, c=gram.T, overwrite_c=True, lower=False)


def mirror(gram: NDArray[np.float64]) -> None:
    """Copy the lower triangle onto the upper one, in place."""
    step = 1024
    for first in range(0, len(gram), step):
        last = first + step
        corner = gram[first:last, first:last]
        lower = np.tril(corner)
        corner[:] = lower + np.tril(corner, -1).T
        gram[first:last, last:] = gram[last:, first:last].T
